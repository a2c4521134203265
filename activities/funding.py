"""Paying an hour of funding: what is due is asked of the engine, which pays each hour once and in order."""

from dataclasses import dataclass, fields
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats
from matcher.commands import SettleFunding

DONE_WITH: Final = frozenset({"funding_settled", "market_settled"})
"""Error types of an hour that was paid so long ago that the engine only knows that it was, and of one that nobody owes any more."""


@dataclass
class MarketHour:
    """One market's hour: `hour` counts hours since the Unix epoch to its end."""

    market: int
    symbol: str
    hour: int


@dataclass
class PaidHour:
    """What an hour came to. Rates are parts of 10**12, money is micro-USDC; `index` is ticks, `at` nanoseconds.

    `basis` is a `core.funding_hour.Basis`.
    """

    hour: int
    basis: int
    samples: int
    hourly: int
    index: int
    accounts: int
    paid: int
    treasury: int
    insurance: int
    at: int


class FundingActivities:
    def __init__(self, door: EngineDoor) -> None:
        self._door = door

    @activity.defn
    async def funded_markets(self) -> list[MarketHour]:
        """Every market that is not delisted or still owes an hour, with the last hour of it that is done with."""
        async with heartbeats():
            return [MarketHour(one.market, one.symbol, one.settled) for one in await self._door.funding()]

    @activity.defn
    async def missed_hours(self, of: MarketHour) -> list[int]:
        """Hours of the market before this one that have not been paid, oldest first; none of one that owes none."""
        async with heartbeats():
            due = [one for one in await self._door.funding() if one.market == of.market]
        return [hour for one in due for hour in one.unpaid if hour < of.hour]

    @activity.defn
    async def pay_hour(self, of: MarketHour) -> PaidHour | None:
        """Have the engine pay the hour; its first answer when it was paid before, None when long ago or when the market is delisted.

        Raises a retryable error while the hour may not be paid yet: it has not ended by the engine's clock, or an earlier one is
        unpaid.
        """
        try:
            async with heartbeats():
                answer = await self._door.command(SettleFunding(of.market, of.hour))
        except ApplicationError as error:
            if error.type in DONE_WITH:
                return None
            raise
        event = answer.event("FundingSettled")
        return PaidHour(**{each.name: event[each.name] for each in fields(PaidHour)})
