"""What one owner takes out with the operator's signature, over all of its accounts: for its share of what may leave."""

from typing import NamedTuple

from sqlalchemy import func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import agents, balances, postings, withdrawals


class Window(NamedTuple):
    """Micro-USDC of an hour or a day: what the owner had as it began, with what waited to be paid then, and what it was paid since."""

    had: int
    paid: int


class Taken(NamedTuple):
    """`waiting` micro-USDC were reserved before the withdrawal in question, and are neither paid nor given back."""

    hour: Window
    day: Window
    waiting: int


async def taken(connection: AsyncConnection, owner: str, hour: int, day: int, but: int) -> Taken:
    """What `owner` took, without its withdrawal number `but` and what it reserved later. `hour` and `day` are their first instants, in
    nanoseconds.

    Costs a line for each posting of the owner's accounts since the day began.
    """
    own = select(agents.c.account).where(agents.c.owner == owner)
    sides = [
        select(amount.label("amount"), postings.c.at).where(account.in_(own), postings.c.at >= min(hour, day))
        for account, amount in (
            (postings.c.credit, postings.c.amount),
            (postings.c.debit, -postings.c.amount),
        )
    ]
    since = union_all(*sides).subquery()
    changes = select(*(func.sum(since.c.amount).filter(since.c.at >= start) for start in (hour, day)))
    status, amount, finished = withdrawals.c.status, withdrawals.c.amount, withdrawals.c.finished_at
    other = withdrawals.c.withdrawal != but
    counted = (
        *((status == "paid") & (finished >= start) & other for start in (hour, day)),
        # Were later ones counted too, two that are each allowed would block one another.
        (status == "reserved") & (withdrawals.c.withdrawal < but),
        *((withdrawals.c.at < start) & ((finished == 0) | (finished >= start)) for start in (hour, day)),
    )
    held = select(func.sum(balances.c.amount)).where(balances.c.account.in_(own))
    asked = select(*(func.sum(amount).filter(each) for each in counted)).where(withdrawals.c.account.in_(own))
    [[balance], changed, waited] = [
        [int(one or 0) for one in (await connection.execute(each)).one()] for each in (held, changes, asked)
    ]
    paid, waiting, reserved = waited[:2], waited[2], waited[3:]
    in_hour, in_day = (Window(balance - changed[at] + reserved[at], paid[at]) for at in (0, 1))
    return Taken(in_hour, in_day, waiting)
