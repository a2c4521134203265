"""What the chain held for an account after the batches of its statement, and by which transactions."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.batches import BatchStatus
from ledger.batch_roots import ACCOUNT_BYTES, AccountAtCut, place_of, unpack
from ledger.settled import settled_of_account
from ledger.statements import Period
from ledger.tables import batches, cuts, submissions, unapplied_deltas

LANDED: Final = "landed"


class Settled(NamedTuple):
    """A batch as it concerns an account, cut at `at`; micro-USDC.

    `equity` is the account's at the cut; `on_chain` is what its page holds once the batch is final, which is the equity but for what
    a bankruptcy, the size of a delta, or an owner who claimed or bounded its losses left for later. They and
    `balance` are None where the ledger no longer knows.

    `signature` is the transaction that settled the account's page, or sealed the batch when nothing on the page moved; empty until
    it landed.
    """

    batch: int
    after_seq: int
    seq: int
    at: int
    status: int
    balance: int | None
    equity: int | None
    on_chain: int | None
    signature: str


async def settled_of(connection: AsyncConnection, of: Period, seqs: Sequence[int]) -> list[Settled]:
    """The batches that cover these ascending records, in order."""
    if not seqs:
        return []
    wanted = select(cuts).where(cuts.c.seq >= seqs[0], cuts.c.after_seq < seqs[-1]).order_by(cuts.c.seq)
    covering = [
        row
        for row in await connection.execute(wanted)
        if bisect_right(seqs, row.seq) > bisect_right(seqs, row.after_seq)
    ]
    return await _with_chain(connection, of, covering)


async def last_settled(connection: AsyncConnection, of: Period) -> Settled | None:
    """The last final batch that was cut within the period."""
    wanted = select(cuts).where(cuts.c.at >= of.start, cuts.c.at < of.end, cuts.c.seq <= of.through_seq)
    wanted = wanted.where(cuts.c.status == int(BatchStatus.FINAL)).order_by(cuts.c.batch.desc()).limit(1)
    found = await _with_chain(connection, of, (await connection.execute(wanted)).all())
    return found[0] if found else None


async def _with_chain(connection: AsyncConnection, of: Period, rows: Sequence[Any]) -> list[Settled]:
    numbers = [row.batch for row in rows]
    pages = {f"batch/{number}/page/{of.page}": number for number in numbers}
    sent = select(submissions.c.reference, submissions.c.signature).where(
        submissions.c.reference.in_(pages), submissions.c.status == LANDED
    )
    signatures = {pages[reference]: signature for reference, signature in await connection.execute(sent)}
    held = await _held(connection, numbers, of.account)
    undone = await _undone(connection, rows, of.account)
    found = []
    for row in rows:
        balance, equity, on_chain = held.get(row.batch, (None, None, None))
        if on_chain is not None:
            on_chain -= undone.get(row.batch, 0)
        signature = signatures.get(row.batch, row.seal)
        span = (row.after_seq, row.seq, row.at, row.status)
        found.append(Settled(row.batch, *span, balance, equity, on_chain, signature))
    return found


async def _undone(connection: AsyncConnection, rows: Sequence[Any], account: int) -> dict[int, int]:
    """What each batch's page did not do of the account's delta: above 0 held back from it, below 0 not taken.

    What is stored with a batch is counted at its cut, before anybody can know.
    """
    if not rows:
        return {}
    short = unapplied_deltas
    after_cuts = short.c.seq > min(row.seq for row in rows)
    wanted = select(short.c.batch, func.sum(short.c.amount)).where(after_cuts, short.c.account == account)
    wanted = wanted.where(short.c.batch.in_([row.batch for row in rows])).group_by(short.c.batch)
    return {batch: int(amount) for batch, amount in await connection.execute(wanted)}


async def _held(
    connection: AsyncConnection, numbers: Sequence[int], account: int
) -> dict[int, tuple[int, int, int | None]]:
    """Balance, equity and settled amount of an account by batch.

    It stands at the same place in almost all batches, so one of them is read whole, and of the others the few bytes at that place.
    """
    if not numbers:
        return {}
    whole = select(batches.c.accounts).where(batches.c.batch.in_(numbers)).order_by(batches.c.batch.desc())
    newest = (await connection.execute(whole.limit(1))).scalar()
    place = place_of(newest, account) if newest is not None else None
    if place is None:
        return {}
    part = func.substring(batches.c.accounts, place * ACCOUNT_BYTES + 1, ACCOUNT_BYTES).label("part")
    wanted = select(batches.c.batch, batches.c.settled, part).where(batches.c.batch.in_(numbers))
    found = {}
    for row in (await connection.execute(wanted)).all():
        one = unpack(row.part)[0] if len(row.part) == ACCOUNT_BYTES else None
        if one is None or one.account != account:
            one = await _searched(connection, row.batch, account)
        if one is not None:
            settled = None if row.settled is None else settled_of_account(row.settled, one)
            found[row.batch] = (one.balance, one.equity, settled)
    return found


async def _searched(connection: AsyncConnection, batch: int, account: int) -> AccountAtCut | None:
    packed = (
        await connection.execute(select(batches.c.accounts).where(batches.c.batch == batch))
    ).scalar_one()
    place = place_of(packed, account)
    return unpack(packed[place * ACCOUNT_BYTES :][:ACCOUNT_BYTES])[0] if place is not None else None
