"""An account's statement of a period: what it had, every fill and every movement of its money, and what it had then.

Read a piece at a time, oldest first, from the postings, which add up to the balance to the micro-unit. Records are immutable, so
pieces that are read minutes apart belong together as long as they end at the same record. `ledger.statement_batches` adds what the
chain held.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from core.exit_events import CLAIM
from core.postings import Why
from ledger.settled import OWN_SLOTS
from ledger.tables import agents, balances, cursor, cuts, deposits, exit_claims, fills, postings, withdrawals

FILL: Final = "fill"
"""Kind of a line that is a trade: its amount is the realized profit or loss, which may be nothing."""


class Period(NamedTuple):
    """A statement's frame, over what the ledger has up to record `through_seq`.

    `page` is the one in which the account's money lies, or lay: a sub-account's is its parent's; below 0 where none is known.
    `opening` and `closing` are balances in micro-USDC at the instants `start` and `end` (nanoseconds, `end` exclusive), `sums` what
    the postings of each kind come to between them. `after_seq` is a record before all lines.
    """

    account: int
    owner: str
    name: str
    page: int
    start: int
    end: int
    after_seq: int
    through_seq: int
    opening: int
    closing: int
    sums: dict[str, int]


class Traded(NamedTuple):
    """The fill of a line, seen from the account: `side` 1 bought, -1 sold; size in lots, price in ticks."""

    fill: int
    role: str
    market: int
    side: int
    size: int
    price: int


class Line(NamedTuple):
    """One fill or movement: `amount` came in (negative: went out), `balance` is after it, micro-USDC.

    `signature` is the transaction of a deposit, a claim or a paid withdrawal; other lines are settled by a batch.
    """

    seq: int
    at: int
    kind: str
    amount: int
    balance: int
    traded: Traded | None
    signature: str


async def period(
    connection: AsyncConnection, account: int, start: int, end: int, through_seq: int | None
) -> Period | None:
    """The frame of a statement, None of an account that nobody has. The transaction must see one state only.

    `through_seq` is where an earlier piece of the same statement ended its view; None for all that the ledger has.
    """
    who = (await connection.execute(select(agents).where(agents.c.account == account))).one_or_none()
    if who is None and account not in OWN_SLOTS.values():
        return None
    last = int((await connection.execute(select(func.coalesce(func.max(cursor.c.sequence), 0)))).scalar_one())
    through = last if through_seq is None else min(through_seq, last)
    after = await _cut_before(connection, start)
    mine = _postings_of(account, after).subquery()
    since = select(mine.c.why, func.sum(mine.c.amount)).where(mine.c.at >= start).group_by(mine.c.why)
    inside = since.where(mine.c.at < end, mine.c.seq <= through)
    held = (await connection.execute(select(balances.c.amount).where(balances.c.account == account))).scalar()
    all_since = {why: int(amount) for why, amount in await connection.execute(since)}
    sums = {why: int(amount) for why, amount in await connection.execute(inside)}
    opening = int(held or 0) - sum(all_since.values())
    return Period(
        account,
        who.owner if who is not None else "",
        who.name if who is not None else "",
        await _page_of(connection, who) if who is not None else 0,
        start,
        end,
        after,
        through,
        opening,
        opening + sum(sums.values()),
        sums,
    )


async def lines(
    connection: AsyncConnection, of: Period, after_seq: int, balance: int, limit: int
) -> tuple[list[Line], int]:
    """Lines of whole records after `after_seq`, at which the account had `balance`, and the record to go on after; 0 at the end.

    There are about `limit` of them, or twice as many. The transaction must see one state only.
    """
    first = max(after_seq, of.after_seq)
    moves, moves_to = await _moves(connection, of, first, limit)
    trades, trades_to = await _trades(connection, of, first, limit)
    last = min((end for end in (moves_to, trades_to) if end), default=0)
    if last:
        moves = [row for row in moves if row.seq <= last]
        trades = [row for row in trades if row.seq <= last]
    traded = {row.seq for row in trades}
    # A fill's realized profit is the fill's own line, which is there also when nothing was realized.
    told = [row for row in moves if row.why != Why.REALIZED or row.seq not in traded]
    signatures = await _signatures(connection, of.account, told)
    found = []
    for row in sorted([*trades, *told], key=lambda row: (row.seq, row.line)):
        balance += row.amount
        trade = (
            Traded(row.fill, row.role, row.market, row.side, row.size, row.price) if row.line < 0 else None
        )
        signature = signatures.get((row.seq, row.why), "")
        found.append(Line(row.seq, row.at, row.why, row.amount, balance, trade, signature))
    return found, last


async def balance_after(connection: AsyncConnection, of: Period, seq: int) -> int:
    """The account's balance after record `seq` of the period."""
    mine = _postings_of(of.account, max(seq, of.after_seq)).subquery()
    later = select(func.coalesce(func.sum(mine.c.amount), 0)).where(mine.c.at >= of.start, mine.c.at < of.end)
    return of.closing - int(
        (await connection.execute(later.where(mine.c.seq <= of.through_seq))).scalar_one()
    )


async def _moves(connection: AsyncConnection, of: Period, after: int, limit: int) -> tuple[list[Any], int]:
    """Postings of whole records, and the last of these records when there may be more."""
    mine = _postings_of(of.account, after).subquery()
    inside = select(mine).where(mine.c.at >= of.start, mine.c.at < of.end, mine.c.seq <= of.through_seq)
    ordered = inside.order_by(mine.c.seq, mine.c.line)
    rows = list(await connection.execute(ordered.limit(limit)))
    if len(rows) < limit:
        return rows, 0
    last = rows[-1].seq
    whole = await connection.execute(ordered.where(mine.c.seq == last))
    return [*(row for row in rows if row.seq < last), *whole], last


async def _trades(connection: AsyncConnection, of: Period, after: int, limit: int) -> tuple[list[Any], int]:
    """Fills as rows like those of postings, before whose lines they stand, and the last record when there may be more."""
    # Fills are numbered in the order of the records, and by their numbers those of an account are found.
    before = select(func.coalesce(func.max(fills.c.fill), 0)).where(
        fills.c.seq == select(func.max(fills.c.seq)).where(fills.c.seq <= after).scalar_subquery()
    )
    first = (await connection.execute(before)).scalar_one()
    sides = [
        select(
            fills.c.seq,
            literal(-1).label("line"),
            literal(FILL).label("why"),
            realized.label("amount"),
            fills.c.at,
            fills.c.fill,
            literal(role).label("role"),
            fills.c.market,
            (fills.c.side * sign).label("side"),
            fills.c.size,
            fills.c.price,
        )
        .where(who == of.account, fills.c.fill > first, fills.c.seq <= of.through_seq)
        .where(fills.c.at >= of.start, fills.c.at < of.end)
        .order_by(fills.c.fill)
        .limit(limit)
        .subquery()
        .select()
        for who, role, sign, realized in (
            (fills.c.taker, "taker", 1, fills.c.taker_realized),
            (fills.c.maker, "maker", -1, fills.c.maker_realized),
        )
    ]
    both = union_all(*sides).subquery()
    rows = list(await connection.execute(select(both).order_by(both.c.seq).limit(limit)))
    return rows, rows[-1].seq if len(rows) == limit else 0


async def _signatures(
    connection: AsyncConnection, account: int, rows: Sequence[Any]
) -> dict[tuple[int, str], str]:
    """Transactions of deposits, of claims and of withdrawals that were paid, by record and kind."""
    found = {}
    for why, table, column, counts in (
        (Why.DEPOSIT.value, deposits, deposits.c.key, true()),
        (Why.EXIT.value, exit_claims, exit_claims.c.key, true()),
        (Why.WITHDRAWAL.value, withdrawals, withdrawals.c.signature, withdrawals.c.status == "paid"),
    ):
        wanted = [row.seq for row in rows if row.why == why]
        if wanted:
            asked = select(table.c.seq, column).where(table.c.account == account, table.c.seq.in_(wanted))
            for seq, signature in await connection.execute(asked.where(counts)):
                # The key of a deposit or a claim is its transaction and its place in it.
                if why != Why.WITHDRAWAL:
                    signature = signature.removeprefix(CLAIM).rpartition(":")[0]
                found[seq, why] = signature
    return found


async def _page_of(connection: AsyncConnection, who: Any) -> int:
    """The page of an agent's money. Of a slot that is another's by now the projector keeps the page, where it did so already when that
    was given away (`ledger.merges`): what was settled there was settled by the same transactions as before."""
    if who.parent:
        who = (await connection.execute(select(agents).where(agents.c.account == who.parent))).one()
    return -2 - int(who.slot) if who.page == -2 and who.slot <= -2 else int(who.page)


async def _cut_before(connection: AsyncConnection, at: int) -> int:
    """A record before which everything is older than `at`: instants ascend with records, and cuts are found quickly."""
    newest = select(cuts.c.seq).where(cuts.c.at < at).order_by(cuts.c.batch.desc()).limit(1)
    return (await connection.execute(newest)).scalar() or 0


def _postings_of(account: int, after: int) -> Any:
    def side(mine: "ColumnElement[int]", amount: "ColumnElement[int]") -> "Select[Any]":
        columns = (postings.c.seq, postings.c.line, postings.c.why, postings.c.at)
        return select(*columns, amount.label("amount")).where(mine == account, postings.c.seq > after)

    return union_all(side(postings.c.credit, postings.c.amount), side(postings.c.debit, -postings.c.amount))
