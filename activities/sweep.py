"""Sweeping up after liquidations: accounts that the engine overlooks, and what the insurance fund had to take."""

import asyncio
from dataclasses import dataclass, field
from time import time_ns
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import PLACES_MAX, UNREACHABLE, EngineDoor, Liquidations
from activities.heartbeats import heartbeats
from core.quantities import SECOND
from matcher.commands import ReviewAccount, SellInventory

LOOKS: Final = 20
LOOK_EVERY_S: Final = 0.25
"""An auction is open for a quarter of a second."""
REVIEW_S: Final = 60.0
"""For how long one review asks account after account: a crash leaves thousands, and the fund's inventory is sold after it."""


@dataclass
class Reviewed:
    """`forgotten` accounts that the engine did nothing about before it was told, `stuck` those about which it still does nothing;
    `going_on`: accounts that are being liquidated."""

    forgotten: list[int]
    going_on: list[int]
    stuck: list[int] = field(default_factory=list)


@dataclass
class Sold:
    """Lots that the insurance fund got rid of by one auction in each market, and lots that it still holds."""

    lots: int
    left: int


class SweepActivities:
    def __init__(self, door: EngineDoor) -> None:
        self._door = door
        self._next = 0
        """The account that the next review of this process begins with. Another process's begins elsewhere, which does no harm."""

    @activity.defn
    async def review_accounts(self) -> Reviewed:
        """Have the engine look at every account that is being liquidated, or should be.

        One that is refused or stuck holds up no other, nor what comes after: it is told. What a minute was too short for is left for
        the next review, which goes on where this one stopped; the engine liquidates by itself meanwhile.
        """
        async with heartbeats():
            seen = await self._door.liquidations()
            forgotten = [below.account for below in seen.forgotten]
            await self._review_in_turn([*self._in_turn(forgotten), *self._in_turn(seen.going_on)])
            left = await self._still(forgotten)
            for _ in range(LOOKS):
                if not left:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
                left = await self._still(left)
            now = await self._door.liquidations_going_on()
        _tell(left)
        return Reviewed(forgotten, now.going_on, left)

    def _in_turn(self, accounts: list[int]) -> list[int]:
        return sorted(accounts, key=lambda account: (account < self._next, account))

    async def _review_in_turn(self, accounts: list[int]) -> None:
        """As many as there is time for, one at least."""
        loop = asyncio.get_running_loop()
        until = loop.time() + REVIEW_S
        for account in accounts:
            if loop.time() >= until and account != accounts[0]:
                self._next = account
                return
            await self._review(account)
        self._next = 0

    async def _review(self, account: int) -> None:
        try:
            await self._door.command(ReviewAccount(account))
        except ApplicationError as error:
            if error.type == UNREACHABLE:
                raise
            activity.logger.error("account %d is not looked at: %s", account, error.type)

    async def _still(self, forgotten: list[int]) -> list[int]:
        """Those of the accounts about whom still nothing is done."""
        left: list[int] = []
        for begin in range(0, len(forgotten), PLACES_MAX):
            seen = await self._door.liquidations_going_on(forgotten[begin : begin + PLACES_MAX])
            left += [below.account for below in seen.forgotten]
        return sorted(left)

    @activity.defn
    async def sell_inventory(self) -> Sold:
        """One auction for each position of the insurance fund. What its market refuses now is left for the next sweep."""
        async with heartbeats():
            before = await self._door.liquidations_going_on()
            for held in before.inventory:
                await self._sell(held.market)
            after = await self._door.liquidations_going_on()
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
        while (await self._door.liquidations_going_on()).selling:
            await asyncio.sleep(LOOK_EVERY_S)


def _tell(stuck: list[int]) -> None:
    """For the alarm: a sweep ends as completed also where it found some, and only its details say so."""
    meter = activity.metric_meter()
    meter.create_gauge(
        "perpdex_accounts_not_liquidated", "Accounts below maintenance about which nothing is done"
    ).set(len(stuck))
    meter.create_gauge(
        "perpdex_accounts_reviewed_seconds",
        "When accounts below maintenance were last looked for, since the epoch",
    ).set(time_ns() // SECOND)
    if stuck:
        activity.logger.error("nothing is done about accounts below maintenance: %s", stuck)


def _lots(seen: Liquidations) -> int:
    return sum(abs(held.size) for held in seen.inventory)
