"""Money that comes into vaults and shares that go back: accepted here, dealt with at the next snapshot."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.nav_snapshot import TransferKind
from core.tickets import Leg
from core.vault_shares import SHARES_MIN
from ledger.tables_vaults import vault_changes, vault_shares, vault_transfers, vaults
from ledger.tables_venues import vault_cash_moves, venue_positions
from ledger.vault_cash import move_cash
from ledger.vaults import NUMBER_MAX, changed

WAITING_MAX: Final = 10
"""Transfers of one vault that a holder itself has waiting: a snapshot deals with all of them in one transaction. Holders are whom an
operator has booked money of, and an operator's transfers are not bounded: so nobody's fill the room of others."""
OPENING: Final = "opening"
CANCELLED: Final = "cancelled"
_HOLDER: Final = "account/"
"""What `who` begins with where no operator asked."""


class Transfer(NamedTuple):
    """`amount` is micro-USDC and `shares` millionths: of a deposit the first is given and the second comes of it, of a withdrawal the
    other way round. `status` is waiting, done, refused with a code of `core.vault_shares.Refusal`, or cancelled. `key` is the asker's
    own: an operator's and a holder's of the same name are two. `dealt_at` is the snapshot's instant, of what was taken back when that
    was, and 0 before. `number` is that of acceptance, 0 before."""

    key: str
    holder: int
    kind: TransferKind
    amount: int
    shares: int
    status: str
    code: str
    who: str
    at: int
    dealt_at: int
    number: int = 0

    @property
    def by_holder(self) -> bool:
        """Whether no operator asked."""
        return self.who.startswith(_HOLDER)

    @property
    def stored_key(self) -> str:
        """As the ledger has it: no caller's key has a space."""
        return f"{self.who} {self.key}" if self.by_holder else self.key

    @property
    def asked(self) -> tuple[int, TransferKind, int]:
        """What it is for: whose it is, which kind, and how much of what is given."""
        given = {TransferKind.DEPOSIT: self.amount, TransferKind.WITHDRAWAL: self.shares}
        return self.holder, self.kind, given.get(self.kind, 0)


_COLUMNS = [vault_transfers.c[name] for name in Transfer._fields]


class VaultTransfers:
    """Over a pool; every method is one transaction and safe to repeat."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ask(self, vault: str, wanted: Transfer) -> Transfer | str:
        """Accept a transfer, which then waits; the one of that key when there is one.

        A stable code when it cannot be accepted: vault_unknown, key_conflict (that key is another transfer), shares_short (counting
        what waits already), and of a holder's own too_many_transfers, or too_few_shares of less than `SHARES_MIN` and not all it has.
        """
        async with self._engine.begin() as connection:
            locked = select(vaults.c.id).where(vaults.c.id == vault).with_for_update()
            if (await connection.execute(locked)).first() is None:
                return "vault_unknown"
            found = await _find(connection, vault, wanted.stored_key)
            if found is not None:
                return found if found.asked == wanted.asked else "key_conflict"
            if wanted.by_holder and await _waiting(connection, vault, wanted.who) >= WAITING_MAX:
                return "too_many_transfers"
            if wanted.kind is TransferKind.WITHDRAWAL:
                free = await _free(connection, vault, wanted.holder)
                if wanted.shares > free:
                    return "shares_short"
                if wanted.by_holder and wanted.shares < min(SHARES_MIN, free):
                    return "too_few_shares"
            return wanted._replace(number=await _insert(connection, vault, wanted))

    async def begin_with(
        self, vault: str, holder: int, cash: int, positions: Mapping[Leg, int], who: str, at: int
    ) -> bool:
        """Give a vault that has nothing what it held elsewhere, micro-USDC and sizes in 1e-8; the next snapshot makes it `holder`'s.

        Whether it is so now, also because the same was done before. False when the vault has something else, or does not exist.
        """
        async with self._engine.begin() as connection:
            locked = select(vaults.c.shares).where(vaults.c.id == vault).with_for_update()
            shares = (await connection.execute(locked)).scalar_one_or_none()
            if shares is None:
                return False
            held = {f"{leg}": size for leg, size in sorted(positions.items()) if size}
            why = f"{cash} micro-USDC and {held} for account/{holder}"
            c = vault_changes.c
            done = select(c.why).where(c.vault == vault, c.what == "imported")
            before = (await connection.execute(done)).scalar_one_or_none()
            if before is not None:
                return bool(before == why)
            if shares or await _has_anything(connection, vault):
                return False
            rows = [
                {"vault": vault, **leg._asdict(), "size_e8": size, "changed_at": at}
                for leg, size in positions.items()
            ]
            if rows:
                await connection.execute(insert(venue_positions), rows)
            move = {
                "vault": vault,
                "venue": "",
                "kind": OPENING,
                "reference": OPENING,
                "amount": cash,
                "at": at,
            }
            await move_cash(connection, [move])
            opening = Transfer(OPENING, holder, TransferKind.OPENING, 0, 0, "waiting", "", who, at, 0)
            await _insert(connection, vault, opening)
            change = {"vault": vault, "what": "imported", "who": who, "why": why, "at": at}
            await connection.execute(insert(vault_changes).values(change))
            return True

    async def cancel(
        self, vault: str, number: int, sees: int | None, asker: str | None, who: str, why: str, at: int
    ) -> Transfer | str:
        """Have a transfer not wait any more, with a line among the vault's changes; one that was taken back before stays so.

        A snapshot of an instant before `at`, and not before it was asked for, deals with it all the same, however late it is taken:
        else whoever asked could look at the prices of that instant first, and then choose.

        `sees` is whose transfers alone the caller knows of, and `asker` whose it may take back; None: anybody's. A stable code when it
        cannot be: transfer_unknown, vault_not_yours, or transfer_not_waiting.
        """
        t = vault_transfers.c
        mine = (t.vault == vault) & (t.number == number)
        async with self._engine.begin() as connection:
            # A snapshot that deals with it has locked the vault: it is done then, and seen to be.
            await connection.execute(select(vaults.c.id).where(vaults.c.id == vault).with_for_update())
            row = (await connection.execute(select(*_COLUMNS).where(mine))).first()
            found = None if row is None else _transfer(row)
            if found is None or sees not in (None, found.holder):
                return "transfer_unknown"
            if asker not in (None, found.who):
                return "vault_not_yours"
            if found.status == CANCELLED:
                return found
            if found.status != "waiting" or found.kind is TransferKind.OPENING:
                return "transfer_not_waiting"
            await connection.execute(
                update(vault_transfers).where(mine).values(status=CANCELLED, dealt_at=at)
            )
            what = f"{found.kind.value} {found.number} of account/{found.holder} taken back"
            await changed(connection, vault, what, who, why, at)
            return found._replace(status=CANCELLED, dealt_at=at)

    async def transfers(
        self,
        vault: str,
        limit: int,
        holder: int | None = None,
        before: int = NUMBER_MAX,
        status: str | None = None,
    ) -> list[Transfer]:
        """Up to `limit` transfers of a vault with numbers below `before`, newest first; of one holder or status where given."""
        t = vault_transfers.c
        wanted = (
            select(*_COLUMNS)
            .where(t.vault == vault, t.number < before)
            .order_by(t.number.desc())
            .limit(limit)
        )
        if holder is not None:
            wanted = wanted.where(t.holder == holder)
        if status is not None:
            wanted = wanted.where(t.status == status)
        async with self._engine.connect() as connection:
            return [_transfer(row) for row in await connection.execute(wanted)]

    async def shares_of(self, vault: str, holder: int) -> int:
        """Millionths of a share that an account has."""
        async with self._engine.connect() as connection:
            return await _shares_of(connection, vault, holder)

    async def holders(self, vault: str) -> dict[int, int]:
        """Millionths of a share by account, of all who have some."""
        t = vault_shares.c
        wanted = select(t.holder, t.shares).where(t.vault == vault, t.shares > 0).order_by(t.holder)
        async with self._engine.connect() as connection:
            return {row.holder: row.shares for row in await connection.execute(wanted)}


async def _insert(connection: AsyncConnection, vault: str, wanted: Transfer) -> int:
    """Its number."""
    values = wanted._asdict() | {"vault": vault, "key": wanted.stored_key}
    del values["number"]
    row = insert(vault_transfers).values(values).returning(vault_transfers.c.number)
    return int((await connection.execute(row)).scalar_one())


async def _waiting(connection: AsyncConnection, vault: str, who: str) -> int:
    """How many that somebody has asked for wait."""
    t = vault_transfers.c
    mine = (t.vault == vault) & (t.status == "waiting") & (t.who == who)
    count = select(func.count()).select_from(vault_transfers).where(mine)
    return int((await connection.execute(count)).scalar_one())


async def _find(connection: AsyncConnection, vault: str, key: str) -> Transfer | None:
    t = vault_transfers.c
    wanted = select(*_COLUMNS).where(t.vault == vault, t.key == key)
    row = (await connection.execute(wanted)).first()
    return None if row is None else _transfer(row)


def _transfer(row: "Row[Any]") -> Transfer:
    key = row.key.rpartition(" ")[2]
    return Transfer(**{**row._mapping, "key": key, "kind": TransferKind(row.kind)})


async def _shares_of(connection: AsyncConnection, vault: str, holder: int) -> int:
    s = vault_shares.c
    has = select(func.coalesce(func.sum(s.shares), 0)).where(s.vault == vault, s.holder == holder)
    return int((await connection.execute(has)).scalar_one())


async def _free(connection: AsyncConnection, vault: str, holder: int) -> int:
    """Millionths of a share that the holder has and has not asked to give back."""
    t = vault_transfers.c
    waits = select(func.coalesce(func.sum(t.shares), 0)).where(
        t.vault == vault, t.holder == holder, t.status == "waiting", t.kind == TransferKind.WITHDRAWAL
    )
    asked = int((await connection.execute(waits)).scalar_one())
    return await _shares_of(connection, vault, holder) - asked


async def _has_anything(connection: AsyncConnection, vault: str) -> bool:
    for table in (vault_cash_moves, venue_positions, vault_transfers):
        if (await connection.execute(select(table.c.vault).where(table.c.vault == vault).limit(1))).first():
            return True
    return False
