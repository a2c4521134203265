"""An account's statement: every movement of its money, with the balance after it."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import balances, postings


class StatementLine(NamedTuple):
    """One movement, micro-USDC: `amount` came in (negative: went out), from or to account `other`; `balance` is after it."""

    seq: int
    line: int
    why: str
    other: int
    amount: int
    balance: int


async def statement(
    connection: AsyncConnection, account: int, before: tuple[int, int] | None, limit: int
) -> list[StatementLine]:
    """Up to `limit` lines older than (seq, line) `before`, newest first. The transaction must see one state only.

    The newest balance is known, so each older one is what later lines leave of it: nothing is summed from the beginning.
    """
    lines = _lines_of(account)
    found = await connection.execute(select(balances.c.amount).where(balances.c.account == account))
    balance = int(found.scalar() or 0)
    wanted = select(lines).order_by(lines.c.seq.desc(), lines.c.line.desc()).limit(limit)
    if before is not None:
        place, limit_place = tuple_(lines.c.seq, lines.c.line), tuple_(*map(literal, before))
        later = select(func.coalesce(func.sum(lines.c.amount), 0)).where(place >= limit_place)
        balance -= int((await connection.execute(later)).scalar_one())
        wanted = wanted.where(place < limit_place)
    statement = []
    for row in await connection.execute(wanted):
        statement.append(StatementLine(row.seq, row.line, row.why, row.other, row.amount, balance))
        balance -= row.amount
    return statement


def _lines_of(account: int) -> Any:
    def side(mine: "ColumnElement[int]", other: "ColumnElement[int]", amount: "ColumnElement[int]") -> Any:
        columns = (postings.c.seq, postings.c.line, postings.c.why)
        return select(*columns, other.label("other"), amount.label("amount")).where(mine == account)

    debit, credit, amount = postings.c.debit, postings.c.credit, postings.c.amount
    return union_all(side(credit, debit, amount), side(debit, credit, -amount)).subquery()
