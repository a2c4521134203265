"""Money that comes into vaults and shares that go back: accepted here, dealt with at the next snapshot."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.nav_snapshot import TransferKind
from core.tickets import Leg
from ledger.tables_vaults import vault_changes, vault_shares, vault_transfers, vaults
from ledger.tables_venues import vault_cash_moves, venue_positions
from ledger.vault_cash import move_cash

WAITING_MAX: Final = 1_000
"""Transfers of one vault that wait: a snapshot deals with all of them in one transaction."""
OPENING: Final = "opening"


class Transfer(NamedTuple):
    """`amount` is micro-USDC and `shares` millionths: of a deposit the first is given and the second comes of it, of a withdrawal the
    other way round. `status` is waiting, done or refused, with a code of `core.vault_shares.Refusal`."""

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

    @property
    def asked(self) -> tuple[int, TransferKind, int]:
        """What it is for: whose it is, which kind, and how much of what is given."""
        given = {TransferKind.DEPOSIT: self.amount, TransferKind.WITHDRAWAL: self.shares}
        return self.holder, self.kind, given.get(self.kind, 0)


class VaultTransfers:
    """Over a pool; every method is one transaction and safe to repeat."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ask(self, vault: str, wanted: Transfer) -> Transfer | str:
        """Accept a transfer, which then waits; the one of that key when there is one.

        A stable code when it cannot be accepted: vault_unknown, key_conflict (that key is another transfer), too_many_transfers, or
        shares_short (counting what waits already).
        """
        t = vault_transfers.c
        async with self._engine.begin() as connection:
            locked = select(vaults.c.id).where(vaults.c.id == vault).with_for_update()
            if (await connection.execute(locked)).first() is None:
                return "vault_unknown"
            found = await _find(connection, vault, wanted.key)
            if found is not None:
                return found if found.asked == wanted.asked else "key_conflict"
            waits = (t.vault == vault) & (t.status == "waiting")
            count = select(func.count()).select_from(vault_transfers).where(waits)
            if (await connection.execute(count)).scalar_one() >= WAITING_MAX:
                return "too_many_transfers"
            if wanted.kind is TransferKind.WITHDRAWAL and wanted.shares > await _free(
                connection, vault, wanted.holder
            ):
                return "shares_short"
            await connection.execute(insert(vault_transfers).values(vault=vault, **wanted._asdict()))
            return wanted

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
            await connection.execute(insert(vault_transfers).values(vault=vault, **opening._asdict()))
            change = {"vault": vault, "what": "imported", "who": who, "why": why, "at": at}
            await connection.execute(insert(vault_changes).values(change))
            return True

    async def transfers(self, vault: str, limit: int, holder: int | None = None) -> list[Transfer]:
        """The newest `limit` transfers of a vault, or of one holder of it, newest first."""
        t = vault_transfers.c
        wanted = (
            select(*(t[name] for name in Transfer._fields))
            .where(t.vault == vault)
            .order_by(t.number.desc())
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(wanted if holder is None else wanted.where(t.holder == holder))
            return [_transfer(row) for row in rows]

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


async def _find(connection: AsyncConnection, vault: str, key: str) -> Transfer | None:
    t = vault_transfers.c
    wanted = select(*(t[name] for name in Transfer._fields)).where(t.vault == vault, t.key == key)
    row = (await connection.execute(wanted)).first()
    return None if row is None else _transfer(row)


def _transfer(row: "Row[Any]") -> Transfer:
    return Transfer(**{**row._mapping, "kind": TransferKind(row.kind)})


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
