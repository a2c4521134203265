"""The ledger's side of the comparison with the chain: what it says of every account with a slot, at one journal sequence."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, Text, any_, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from core.exit_events import CLAIM
from core.postings import RESERVED
from ledger.breakers import Action
from ledger.settled import OWN_SLOTS, settled_at
from ledger.settlement import StoredPage
from ledger.tables import (
    accepted_slots,
    agents,
    balances,
    batch_pages,
    batches,
    cursor,
    deposits,
    exit_claims,
    operator_actions,
    postings,
    unapplied_deltas,
    withdrawals,
)


class LedgerAccount(NamedTuple):
    """Micro-USDC. `settled` is what the chain holds once the last stored batch has landed, None when the ledger does not know.

    `unapplied` is the sum of what batches did not do for it, `foreign` the number of the last withdrawal that was taken over, or 0.
    """

    account: int
    owner: str
    page: int
    slot: int
    balance: int
    settled: int | None
    unapplied: int
    foreign: int


class LedgerBooks(NamedTuple):
    """All accounts with a slot as of record `seq`, which is `asked` or, where the ledger is behind, the last one that it has.

    `batch` is the last stored batch at `seq` (0: none), with its root and pages; `newest` is the newest stored of all. `reserved` are
    (withdrawal, account, amount) of now; `reserved_total` is of `seq`. `strangers` are slots that had been accepted as nobody's here.
    """

    seq: int
    batch: int
    newest: int
    root: bytes
    pages: tuple[StoredPage, ...]
    accounts: Mapping[int, LedgerAccount]
    reserved: Sequence[tuple[int, int, int]]
    reserved_total: int
    last_withdrawal: int
    strangers: frozenset[tuple[int, int]]


async def books_at(connection: AsyncConnection, asked: int | None) -> LedgerBooks:
    """The books at record `asked` (None: the last one projected). The transaction must see one state only."""
    last = int((await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one())
    seq = last if asked is None else min(asked, last)
    batch, settled = await settled_at(connection, seq)
    held = await _balances(connection, seq)
    owed, foreign = await _unapplied(connection, seq), await _foreign(connection, seq)
    bound = select(agents.c.account, agents.c.owner, agents.c.page, agents.c.slot).where(agents.c.page >= 0)
    places = [(account, "", *place) for place, account in OWN_SLOTS.items()]
    places += [tuple(row) for row in await connection.execute(bound)]
    open_ones = select(withdrawals.c.withdrawal, withdrawals.c.account, withdrawals.c.amount)
    open_ones = open_ones.where(withdrawals.c.status == "reserved").order_by(withdrawals.c.withdrawal)
    highest = select(func.coalesce(func.max(withdrawals.c.withdrawal), 0))
    newest = select(func.coalesce(func.max(batches.c.batch), 0))
    return LedgerBooks(
        seq=seq,
        batch=batch.batch if batch is not None else 0,
        newest=int((await connection.execute(newest)).scalar_one()),
        root=bytes(batch.root) if batch is not None else b"",
        pages=await _pages(connection, batch.batch) if batch is not None else (),
        accounts={
            account: LedgerAccount(
                account,
                owner,
                page,
                slot,
                held.get(account, 0),
                settled.get(account, 0) if settled is not None else None,
                owed.get(account, 0),
                foreign.get(account, 0),
            )
            for account, owner, page, slot in places
        },
        reserved=[tuple(row) for row in await connection.execute(open_ones)],
        reserved_total=held.get(RESERVED, 0),
        last_withdrawal=int((await connection.execute(highest)).scalar_one()),
        strangers=await _strangers(connection, seq),
    )


async def credited(connection: AsyncConnection, keys: Sequence[str], seq: int) -> set[str]:
    """Which of these deposits and claims were booked by record `seq`. Any number: they are one parameter, an array."""
    sides = [
        select(one.c.key).where(one.c.key == any_(literal(list(keys), ARRAY(Text))), one.c.seq <= seq)
        for one in (deposits, exit_claims)
    ]
    return {row.key for row in await connection.execute(union_all(*sides))}


async def booked_before(connection: AsyncConnection, seq: int) -> str | None:
    """The last transaction but one of which something was booked by record `seq`: it and all before it are booked whole.

    Of the last one only some may be, for that is done in the order of the chain, deposits and claims one by one; and one transaction
    has as many as its sender likes.
    """
    last = await _newest_booked(connection, seq)
    return await _newest_booked(connection, seq, besides=last) if last is not None else None


async def _newest_booked(connection: AsyncConnection, seq: int, besides: str | None = None) -> str | None:
    """Signature of the transaction of the newest deposit or claim that was booked by record `seq`, without those of one."""
    sides = []
    for one, kind in ((deposits, ""), (exit_claims, CLAIM)):
        wanted = select(one.c.key, one.c.seq).where(one.c.seq <= seq).order_by(one.c.seq.desc()).limit(1)
        if besides is not None:
            wanted = wanted.where(~one.c.key.startswith(f"{kind}{besides}:", autoescape=True))
        sides.append(wanted.subquery().select())
    newest = max(await connection.execute(union_all(*sides)), key=lambda row: row.seq, default=None)
    return newest.key.removeprefix(CLAIM).rpartition(":")[0] if newest is not None else None


async def _unapplied(connection: AsyncConnection, seq: int) -> dict[int, int]:
    """What batches did not do for each account by record `seq`, in all, theirs included who had the key and no right to it."""
    short, taken = unapplied_deltas, accepted_slots
    both = union_all(
        select(short.c.account, short.c.amount).where(short.c.seq <= seq),
        select(taken.c.account, taken.c.unapplied).where(taken.c.seq <= seq),
    ).subquery()
    summed = select(both.c.account, func.sum(both.c.amount)).group_by(both.c.account)
    return {account: int(sum) for account, sum in await connection.execute(summed)}


async def _foreign(connection: AsyncConnection, seq: int) -> dict[int, int]:
    taken = accepted_slots
    highest = select(taken.c.account, func.max(taken.c.withdrawal)).where(taken.c.seq <= seq)
    return {
        account: int(number)
        for account, number in await connection.execute(highest.group_by(taken.c.account))
    }


async def _strangers(connection: AsyncConnection, seq: int) -> frozenset[tuple[int, int]]:
    """As the last record that took something over from the chain has them."""
    taken = operator_actions
    newest = select(taken.c.details).where(taken.c.action == Action.CHAIN.value, taken.c.seq <= seq)
    details = (await connection.execute(newest.order_by(taken.c.seq.desc()).limit(1))).scalar()
    return frozenset((page, slot) for page, slot in (details or {}).get("strangers", ()))


async def _balances(connection: AsyncConnection, seq: int) -> dict[int, int]:
    """Balances as of `seq`: those of now without the postings since."""
    since = postings.c.seq > seq
    both = union_all(
        select(postings.c.credit.label("account"), postings.c.amount.label("amount")).where(since),
        select(postings.c.debit, -postings.c.amount).where(since),
    ).subquery()
    found = {row.account: int(row.amount) for row in await connection.execute(select(balances))}
    later = select(both.c.account, func.sum(both.c.amount)).group_by(both.c.account)
    for account, amount in await connection.execute(later):
        found[account] -= int(amount)
    return found


async def _pages(connection: AsyncConnection, batch: int) -> tuple[StoredPage, ...]:
    wanted = select(batch_pages).where(batch_pages.c.batch == batch).order_by(batch_pages.c.position)
    rows = await connection.execute(wanted)
    return tuple(StoredPage(row.page, row.net, row.moves, row.deltas) for row in rows)
