"""Sweeping up after liquidations: accounts that the engine overlooks, and what the insurance fund had to take."""

import asyncio
from dataclasses import dataclass
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import UNREACHABLE, EngineDoor, Liquidations
from activities.heartbeats import heartbeats
from matcher.commands import ReviewAccount, SellInventory

NOT_LIQUIDATED: Final = "not_liquidated"
"""Error type: the engine was told of accounts below maintenance, and does nothing about them."""
LOOKS: Final = 20
LOOK_EVERY_S: Final = 0.25
"""An auction is open for a quarter of a second."""


@dataclass
class Reviewed:
    """`forgotten` accounts that the engine did nothing about before it was told; `going_on`: accounts that are being liquidated."""

    forgotten: list[int]
    going_on: list[int]


@dataclass
class Sold:
    """Lots that the insurance fund got rid of by one auction in each market, and lots that it still holds."""

    lots: int
    left: int


class SweepActivities:
    def __init__(self, door: EngineDoor) -> None:
        self._door = door

    @activity.defn
    async def review_accounts(self) -> Reviewed:
        """Have the engine look at every account that is being liquidated, or should be.

        Raises a retryable error when it still does nothing about one.
        """
        async with heartbeats():
            seen = await self._door.liquidations()
            forgotten = [below.account for below in seen.forgotten]
            for account in (*forgotten, *seen.going_on):
                await self._door.command(ReviewAccount(account))
            seen = await self._door.liquidations()
            for _ in range(LOOKS):
                if not _still(seen, forgotten):
                    break
                await asyncio.sleep(LOOK_EVERY_S)
                seen = await self._door.liquidations()
        left = _still(seen, forgotten)
        if left:
            raise ApplicationError(f"nothing is done about accounts {left}", type=NOT_LIQUIDATED)
        return Reviewed(forgotten, seen.going_on)

    @activity.defn
    async def sell_inventory(self) -> Sold:
        """One auction for each position of the insurance fund. What its market refuses now is left for the next sweep."""
        async with heartbeats():
            before = await self._door.liquidations()
            for held in before.inventory:
                await self._sell(held.market)
            after = await self._door.liquidations()
        had, has = _lots(before), _lots(after)
        return Sold(max(0, had - has), has)

    async def _sell(self, market: int) -> None:
        try:
            await self._door.command(SellInventory(market))
        except ApplicationError as error:
            if error.type == UNREACHABLE:
                raise
            activity.logger.info("the insurance fund cannot sell in market %d: %s", market, error.type)
            return
        while (await self._door.liquidations()).selling:
            await asyncio.sleep(LOOK_EVERY_S)


def _still(seen: Liquidations, accounts: list[int]) -> list[int]:
    return sorted({below.account for below in seen.forgotten} & set(accounts))


def _lots(seen: Liquidations) -> int:
    return sum(abs(held.size) for held in seen.inventory)
