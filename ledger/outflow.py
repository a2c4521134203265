"""What one owner takes out with the operator's signature, over all of its accounts: for its share of what may leave."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import agents, withdrawals


class Taken(NamedTuple):
    """Micro-USDC: paid since the hour and since the day began, and `waiting`, reserved and neither paid nor given back."""

    hour: int
    day: int
    waiting: int


async def taken(connection: AsyncConnection, owner: str, hour: int, day: int, but: int) -> Taken:
    """What `owner` took, without its withdrawal number `but`. `hour` and `day` are their first instants, in nanoseconds."""
    paid, amount = withdrawals.c.status == "paid", withdrawals.c.amount
    counted = (
        paid & (withdrawals.c.finished_at >= hour),
        paid & (withdrawals.c.finished_at >= day),
        withdrawals.c.status == "reserved",
    )
    wanted = (
        select(*(func.coalesce(func.sum(amount).filter(each), 0) for each in counted))
        .join(agents, agents.c.account == withdrawals.c.account)
        .where(agents.c.owner == owner, withdrawals.c.withdrawal != but)
    )
    return Taken(*(int(amount) for amount in (await connection.execute(wanted)).one()))
