"""Which price counts: for each market an order of sources, each with the limits within which it is believed.

`choose` decides and reads nothing; `PriceRouter` keeps the newest price of every source for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from core.quantities import SECOND, Nanos, Ppm
from oracles.price import Price

AHEAD_MAX: Final = Nanos(5 * SECOND)
"""How far a source's clock may run ahead of ours."""


class Fault(StrEnum):
    """Why a source's price does not count."""

    MISSING = "missing"
    NOT_POSITIVE = "not_positive"
    FROM_THE_FUTURE = "from_the_future"
    STALE = "stale"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Limits:
    """A source, the oldest price believed from it, and the largest share of the price that its confidence may be."""

    source: str
    max_age: Nanos
    max_confidence: Ppm


@dataclass(frozen=True, slots=True)
class Route:
    """The sources of one market, best first."""

    symbol: str
    sources: tuple[Limits, ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No source's price counts; one fault for each, in the route's order."""

    symbol: str
    faults: tuple[tuple[str, Fault], ...]


def fault_of(price: Price | None, limits: Limits, now: Nanos) -> Fault | None:
    """What is wrong with a price under its source's limits, if anything. A limit itself is still within."""
    if price is None:
        return Fault.MISSING
    if price.value <= 0:
        return Fault.NOT_POSITIVE
    if price.published_at > now + AHEAD_MAX:
        return Fault.FROM_THE_FUTURE
    if now - price.published_at > limits.max_age:
        return Fault.STALE
    if price.less_certain_than(limits.max_confidence):
        return Fault.UNCERTAIN
    return None


def choose(route: Route, newest: Mapping[str, Price], now: Nanos) -> Price | Unavailable:
    """The first price in the route's order that counts at `now`. `newest` is by source."""
    faults = []
    for limits in route.sources:
        price = newest.get(limits.source)
        fault = fault_of(price, limits, now)
        if price is not None and fault is None:
            return price
        faults.append((limits.source, fault or Fault.MISSING))
    return Unavailable(route.symbol, tuple(faults))


class PriceRouter:
    """Holds the newest price of every source of every market. No source ever goes back in time."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.symbol: route for route in routes}
        self._newest: dict[str, dict[str, Price]] = {symbol: {} for symbol in self._routes}

    def accept(self, price: Price) -> bool:
        """Take a source's price. False, and nothing changes, when it is not newer than the one held. Raises `KeyError` for a
        market without a route."""
        newest = self._newest[price.symbol]
        held = newest.get(price.source)
        if held is not None and price.published_at <= held.published_at:
            return False
        newest[price.source] = price
        return True

    def route(self, symbol: str, now: Nanos) -> Price | Unavailable:
        """The price of a market that counts at `now`, or why there is none."""
        return choose(self._routes[symbol], self._newest[symbol], now)
