"""Prometheus metrics of prices, read from the engine and the feed when they are asked for."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from core.market import MarketStatus
from matcher.state import Exchange
from matcher.trust import validity
from oracles.feed import PriceFeed


class PriceMetrics(Collector):
    """How far each market's index is believed, what became of every source's prices, and what keeps sources from answering."""

    def __init__(
        self, state: Exchange, feed: PriceFeed, clock: Callable[[], int], registry: CollectorRegistry
    ) -> None:
        self._state = state
        self._feed = feed
        self._clock = clock
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        validities = GaugeMetricFamily(
            "perpdex_index_validity",
            "How far the index is believed, from 0 (unavailable) to 7 (valid)",
            labels=["market"],
        )
        now = self._clock()
        for id, market in self._state.markets.items():
            if self._state.statuses[id] == MarketStatus.SETTLED:
                continue  # Its index is out of date for ever, and nobody minds.
            validities.add_metric([market.symbol], validity(self._state, id, now).rank)
        accepted = CounterMetricFamily(
            "perpdex_prices",
            "Prices by source and by what became of them: only newer ones count",
            labels=["source", "outcome"],
        )
        for (source, outcome), count in self._feed.accepted.items():
            accepted.add_metric([source, outcome], count)
        refused = CounterMetricFamily(
            "perpdex_index_refused",
            "Judgements of the feed that the engine refused: the market's index grows old",
            labels=["market", "code"],
        )
        for (symbol, code), count in self._feed.refusals.items():
            refused.add_metric([symbol, code], count)
        troubles = GaugeMetricFamily(
            "perpdex_price_trouble",
            "What keeps a source from answering, or the engine from taking an index, for one market or for all",
            labels=["source", "market", "code"],
        )
        for (source, symbol), code in self._feed.troubles.items():
            troubles.add_metric([source, symbol, code], 1)
        yield from (validities, accepted, refused, troubles)
