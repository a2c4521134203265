"""Snapshots of vaults' values: the prices of an instant are asked for once and kept, then every vault is valued at them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from temporalio import activity

from activities.heartbeats import heartbeats
from core.printable import printable
from core.tickets import Leg
from ledger.nav import AHEAD_MAX, NONE, NavPrice, NavSnapshots
from venues.budget import Turn, looking

if TYPE_CHECKING:
    from venues.prices import LegPrice, NoPrice

_log = structlog.get_logger("nav")
VAULTS_AT_ONCE: Final = 100
"""In one transaction, which nobody who deals with one of them waits for long."""
LEGS_AT_ONCE: Final = 200
WHOLE_ATTEMPTS: Final = 3
"""A leg is said to have no price, for good, only at the third attempt: what was wrong may have been of a moment."""


class LegPrices(Protocol):
    """Where prices come from: `venues.prices.VenuePriceRouter`."""

    async def get_index_prices(self, symbols: Collection[str]) -> "dict[str, LegPrice | NoPrice]": ...


@dataclass
class NavInstant:
    """The instant of snapshots, in nanoseconds, and the last vault that has one already."""

    at: int
    after: str = ""


@dataclass
class NavPart:
    """Snapshots of some vaults, up to `through`, which is empty when there was none left; `alerts` are sentences."""

    through: str
    vaults: int
    alerts: list[str] = field(default_factory=list)


class NavActivities:
    """Over the ledger and what knows prices."""

    def __init__(self, nav: NavSnapshots, prices: LegPrices, clock: Callable[[], int]) -> None:
        self._nav = nav
        self._prices = prices
        self._clock = clock

    @activity.defn
    async def price_legs(self, of: NavInstant) -> int:
        """Record a price for every leg that a vault held at the instant and that has none yet; how many. None is recorded as none.

        Of an instant that has not come nothing is recorded: a clock is wrong, and the rounds until then would be skipped.
        """
        if of.at > self._clock() + AHEAD_MAX:
            _log.error("a snapshot is due at an instant that has not come: a clock is wrong", at=of.at)
            return 0
        async with heartbeats():
            legs = await self._nav.unpriced(of.at)
            for first in range(0, len(legs), LEGS_AT_ONCE):
                with looking(Turn.SOON):
                    found = await self._asked(legs[first : first + LEGS_AT_ONCE])
                await self._nav.record_prices(of.at, found)
            return len(legs)

    async def _asked(self, legs: list[Leg]) -> dict[Leg, NavPrice]:
        """Their prices. What nobody expected is wrong with one of them leaves that one without, and keeps no other vault's from being
        told: halves are asked for again until it is alone. Raises it before the last of `WHOLE_ATTEMPTS`."""
        try:
            found = await self._prices.get_index_prices([str(leg) for leg in legs])
            return {leg: _kept(found[str(leg)]) for leg in legs}
        except Exception as error:
            if activity.info().attempt < WHOLE_ATTEMPTS:
                raise
            if len(legs) > 1:
                half = len(legs) // 2
                return await self._asked(legs[:half]) | await self._asked(legs[half:])
            _log.error("a leg cannot be priced", leg=str(legs[0]), exc_info=error)
            return {legs[0]: NavPrice(0, 0, f"it cannot be priced: {type(error).__name__}", NONE)}

    @activity.defn
    async def take_snapshots(self, of: NavInstant) -> NavPart:
        """Snapshots of the next vaults, and what waits for them is dealt with; those that are taken already stay as they are."""
        async with heartbeats():
            taken = await self._nav.take(of.at, of.after, VAULTS_AT_ONCE, self._clock())
        for vault, alert in taken.alerts:
            _log.warning(alert.sentence, vault=vault, at=of.at, kind=alert.kind.value, leg=alert.leg)
        said = [f"{vault} {alert.leg or 'as a whole'}: {alert.sentence}" for vault, alert in taken.alerts]
        return NavPart(taken.through, taken.vaults, said)


def _kept(found: "LegPrice | NoPrice") -> NavPrice:
    # Here, because what knows prices takes long to load, and the worker starts without it.
    from venues.prices import NoPrice

    if isinstance(found, NoPrice):
        return NavPrice(0, 0, printable("; ".join(found.tried)), NONE)
    return NavPrice(found.price, found.at, printable(found.source), found.standing.value)
