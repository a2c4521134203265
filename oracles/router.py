"""Holds what every source said last, each market's average, and whether its publishers have fallen out; `oracles.index` judges.

Nothing here is believed for its order of arrival: no source goes back in time, and none can run so far ahead that its own later
prices would look old.
"""

from collections import deque
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final

from core.quantities import MILLION, Nanos
from core.validity import Validity
from oracles.index import AHEAD_MAX, Routed, agreements, apart, judge
from oracles.price import EXPONENT_LIMIT, Price
from oracles.route import Route
from oracles.twap import Twap

PAST: Final = 256
"""Prices of a source that are remembered: two minutes and more of one that publishes twice a second."""
AVERAGE: Final = "average"
"""The source that an average names."""


class Accepted(StrEnum):
    """What became of a source's price. Stable codes, counted by source."""

    NEWER = "newer"
    REPEATED = "repeated"
    """Of the same moment as the one held, which stays."""
    WENT_BACK = "went_back"
    FROM_THE_FUTURE = "from_the_future"
    """Not held: it would make every honest price after it look old."""
    UNROUTED = "unrouted"
    """The market's route has no such source."""


class _Market:
    """What the router knows of one market."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.sources = frozenset(limits.source for limits in route.sources)
        self.newest: dict[str, Price] = {}
        self.average = Twap(route.rule.window)
        self.contested = False
        self.publishers = {limits.source: limits.publisher for limits in route.sources}
        self.past: dict[str, deque[Price]] = {source: deque(maxlen=PAST) for source in self.sources}
        self.agreed: dict[tuple[str, str], Nanos] = {}
        self.last: str | None = None

    def compare(self, price: Price) -> None:
        """Note with whom a price that is just known agreed when it was published: it may have been long on its way."""
        publisher = self.publishers[price.source]
        for source, past in self.past.items():
            other = self.publishers[source]
            then = next((one for one in reversed(past) if one.published_at <= price.published_at), None)
            if other == publisher or then is None or apart(then, price, self.route.rule.tolerance):
                continue
            if price.published_at - then.published_at <= AHEAD_MAX:
                self.agree((min(publisher, other), max(publisher, other)), price.published_at)

    def agree(self, pair: tuple[str, str], at: Nanos) -> None:
        self.agreed[pair] = max(self.agreed.get(pair, at), at)


class PriceRouter:
    """The index of every market. No source ever goes back in time."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._markets = {route.symbol: _Market(route) for route in routes}

    def follow(self, routes: Iterable[Route], anew: Collection[str]) -> None:
        """Route by `routes` from now on. Nothing is remembered of the markets of `anew`, nor of those whose route is another one."""
        held = {symbol: one for symbol, one in self._markets.items() if symbol not in anew}
        self._markets = {
            route.symbol: known
            if (known := held.get(route.symbol)) is not None and known.route == route
            else _Market(route)
            for route in routes
        }

    def accept(self, price: Price, now: Nanos) -> Accepted:
        """Take a source's price; only NEWER changes anything. Raises `KeyError` for a market without a route."""
        market = self._markets[price.symbol]
        if price.source not in market.sources:
            return Accepted.UNROUTED
        if price.published_at > now + AHEAD_MAX:
            return Accepted.FROM_THE_FUTURE
        held = market.newest.get(price.source)
        if held is not None and price.published_at <= held.published_at:
            same = price.published_at == held.published_at
            return Accepted.REPEATED if same else Accepted.WENT_BACK
        market.newest[price.source] = price
        if price.value > 0:
            market.compare(price)
            market.past[price.source].append(price)
        return Accepted.NEWER

    def route(self, symbol: str, now: Nanos) -> Routed:
        """The index of a market at `now`. Looking moves its average on, so it is to be looked at in the order of time."""
        market = self._markets[symbol]
        mean = market.average.mean(now)
        average = None if mean is None else Price(symbol, mean, -EXPONENT_LIMIT, 0, now, AVERAGE)
        routed = judge(
            market.route, market.newest, average, market.contested, now, market.agreed, market.last
        )
        if routed.chosen is not None and routed.confirmed:
            market.last = routed.chosen.limits.publisher
        for pair in agreements(routed, market.route.rule.tolerance):
            market.agree(pair, now)
        market.contested = not routed.confirmed and (market.contested or routed.validity is Validity.DISPUTED)
        if routed.price is not None and _counts_in_average(routed):
            market.average.record(_held_in(routed.price.exact, mean, market.route), now)
        return routed


def _counts_in_average(routed: Routed) -> bool:
    """Whether the price of a moment becomes part of the past that later ones are compared with.

    A far price that several publishers confirm does, so that a real move is believed in time; one that nobody confirms does not,
    or a liar would only have to wait.
    """
    by_itself = routed.chosen is not None and routed.chosen.validity is Validity.VALID
    return by_itself and routed.confirmed


def _held_in(value: int, mean: int | None, route: Route) -> int:
    """`value`, no further from the average than the route's rule allows: one spike must not become the past."""
    most = route.rule.max_deviation
    if most is None or mean is None:
        return value
    return max(mean * MILLION // (MILLION + most), min(value, mean * (MILLION + most) // MILLION))
