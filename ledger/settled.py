"""What the ledger says the chain holds: deposits less withdrawals plus the deltas of all batches, counted here and asked of nobody.

It goes from cut to cut: what an account had settled at the last one, the money that came and went since, and the new delta. With a
batch it is stored for whom that is something else than the equity at the cut, which is almost nobody; so this costs a few bytes a
batch. A ledger that lost its batches no longer knows, and begins again from what engine and chain agree on (`rebase`).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.accounts import INSURANCE, TREASURY
from core.pages import PagePlan
from core.postings import OUTSIDE, RESERVED, Why
from ledger.batch_roots import AccountAtCut, unpack
from ledger.tables import accepted_slots, agents, batches, cuts, postings, unapplied_deltas

_OTHERWISE: Final = struct.Struct(">Qq")
"""An account whose settled amount is not its equity: number and micro-USDC."""
OWN_SLOTS: Final = {(0, 0): TREASURY, (0, 1): INSURANCE}
"""Slots of the exchange's own accounts, which nobody registered."""
_CUSTODY: Final = (Why.DEPOSIT.value, Why.WITHDRAWAL.value, Why.RELEASE.value, Why.EXIT.value)


async def moved(connection: AsyncConnection, after_seq: int, seq: int) -> dict[int, int]:
    """Micro-USDC that came to each account from outside, less what was taken to be withdrawn, in the records (`after_seq`, `seq`].

    Less, too, what batches that had landed by then did not bring; and with what was taken over from the chain.
    """
    sides = []
    for account, amount in ((postings.c.credit, postings.c.amount), (postings.c.debit, -postings.c.amount)):
        side = select(account.label("account"), amount.label("amount"))
        sides.append(
            side.where(postings.c.seq > after_seq, postings.c.seq <= seq, postings.c.why.in_(_CUSTODY))
        )
    short = unapplied_deltas
    undone = select(short.c.account, -short.c.amount).where(short.c.seq > after_seq, short.c.seq <= seq)
    taken = accepted_slots
    changed = select(taken.c.account, taken.c.change).where(taken.c.seq > after_seq, taken.c.seq <= seq)
    both = union_all(*sides, undone, changed).subquery()
    summed = select(both.c.account, func.sum(both.c.amount)).group_by(both.c.account)
    rows = await connection.execute(summed.where(both.c.account.not_in((OUTSIDE, RESERVED))))
    return {account: int(amount) for account, amount in rows if amount}


async def settled_after(
    connection: AsyncConnection,
    batch: int,
    after_seq: int,
    seq: int,
    accounts: Sequence[AccountAtCut],
    pages: Iterable[PagePlan],
) -> bytes | None:
    """What is stored with a batch; None when what came before it is not known here any more."""
    before = await _at_cut(connection, batch - 1) if batch > 1 else {}
    owners = await _slots(connection)
    deltas = {(plan.page, slot): delta for plan in pages for slot, delta in plan.deltas}
    if before is None or not deltas.keys() <= owners.keys():
        return None
    came = await moved(connection, after_seq, seq)
    settled = {one.account: before.get(one.account, 0) + came.get(one.account, 0) for one in accounts}
    for place, delta in deltas.items():
        settled[owners[place]] = settled.get(owners[place], 0) + delta
    return pack_settled(settled, accounts)


def pack_settled(settled: Mapping[int, int], accounts: Iterable[AccountAtCut]) -> bytes:
    equities = {one.account: one.equity for one in accounts}
    return b"".join(
        _OTHERWISE.pack(account, amount)
        for account, amount in sorted(settled.items())
        if amount != equities.get(account, 0)
    )


def unpack_settled(otherwise: bytes, accounts: Iterable[AccountAtCut]) -> dict[int, int]:
    """What the chain holds for each account once the batch has landed, in micro-USDC."""
    return {one.account: one.equity for one in accounts} | dict(_OTHERWISE.iter_unpack(otherwise))


def settled_of_account(otherwise: bytes, one: AccountAtCut) -> int:
    """The same of one account."""
    return {int(account): int(amount) for account, amount in _OTHERWISE.iter_unpack(otherwise)}.get(
        one.account, one.equity
    )


async def settled_at(connection: AsyncConnection, seq: int) -> tuple[Any, dict[int, int] | None]:
    """The newest stored batch whose cut is at `seq` or before, and what is settled at `seq` once it has landed; None if not known."""
    wanted = select(batches.c.batch, batches.c.root, cuts.c.seq).join(cuts, cuts.c.batch == batches.c.batch)
    newest = wanted.where(cuts.c.seq <= seq).order_by(cuts.c.batch.desc()).limit(1)
    last = (await connection.execute(newest)).one_or_none()
    settled = await _at_cut(connection, last.batch) if last is not None else {}
    if settled is None:
        return last, None
    for account, amount in (await moved(connection, last.seq if last is not None else 0, seq)).items():
        settled[account] = settled.get(account, 0) + amount
    return last, settled


async def rebase(connection: AsyncConnection, batch: int, settled: Mapping[int, int], seq: int) -> None:
    """Begin again from what was settled at `seq`, after `batch`. Does nothing where the ledger knows by itself."""
    wanted = select(batches.c.accounts, cuts.c.seq).join(cuts, cuts.c.batch == batches.c.batch)
    row = (await connection.execute(wanted.where(batches.c.batch == batch))).one_or_none()
    if row is None:
        return
    since = await moved(connection, row.seq, seq)
    at_cut = {account: amount - since.get(account, 0) for account, amount in settled.items()}
    packed = pack_settled(at_cut, unpack(row.accounts))
    known = batches.c.settled.is_(None)
    await connection.execute(update(batches).where(batches.c.batch == batch, known).values(settled=packed))


async def _at_cut(connection: AsyncConnection, batch: int) -> dict[int, int] | None:
    wanted = select(batches.c.accounts, batches.c.settled).where(batches.c.batch == batch)
    row = (await connection.execute(wanted)).one_or_none()
    if row is None or row.settled is None:
        return None
    return unpack_settled(row.settled, unpack(row.accounts))


async def _slots(connection: AsyncConnection) -> dict[tuple[int, int], int]:
    """Account of each slot that is bound."""
    bound = select(agents.c.account, agents.c.page, agents.c.slot).where(agents.c.page >= 0)
    return OWN_SLOTS | {(row.page, row.slot): row.account for row in await connection.execute(bound)}
