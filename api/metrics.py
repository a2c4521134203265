"""Prometheus metrics of the edge and of the engine behind it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from api.listening import Listening
from core import events as e
from core.quantities import MILLISECOND, SECOND
from matcher.clock import wall_ahead
from matcher.engine import Engine

BOUNDS: Final = tuple(MILLISECOND * 2**power // 2 for power in range(12))
"""Upper bounds of durations, from half a millisecond to about a second."""


class Count(Collector):
    """A counter that belongs to one thread: a library's own takes a lock each time."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self.count = 0
        self._described = (name, text)
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(*self._described, value=self.count)


class Tally(Collector):
    """The same with one label."""

    def __init__(self, name: str, text: str, label: str, registry: CollectorRegistry) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._described = (name, text, label)
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        name, text, label = self._described
        family = CounterMetricFamily(name, text, labels=[label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family


class Durations(Collector):
    """A histogram of nanoseconds that belongs to one thread, told in seconds."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0
        self._described = (name, text)
        registry.register(self)

    def observe(self, nanoseconds: int) -> None:
        self._counts[bisect_left(BOUNDS, nanoseconds)] += 1
        self._total += nanoseconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        bounds = [*(str(bound / SECOND) for bound in BOUNDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(*self._described, buckets=buckets, sum_value=self._total / SECOND)


class Metrics:
    """Counts from the engine's events and the edge's calls; gauges are read when they are asked for."""

    def __init__(self, engine: Engine, listening: Listening, clock: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._fills = Count("perpdex_fills", "Fills on disk", self.registry)
        closed = Tally("perpdex_requests_closed", "Final answers", "outcome", self.registry)
        self._by_outcome = closed.counts
        refused = Tally("perpdex_refused", "Refused messages and calls", "code", self.registry)
        self._refused = refused.counts
        self.messages: Final = Tally(
            "perpdex_messages", "WebSocket messages read", "op", self.registry
        ).counts
        """By `op`; whoever reads a message counts it."""
        self._commit = Durations(
            "perpdex_commit_seconds",
            "From the decision that answers a request until it is on disk and told",
            self.registry,
        )
        self.gauge("perpdex_journal_sequence", "Last decided record", lambda: engine.state.seq)
        self.gauge("perpdex_synced_sequence", "Last record on disk", lambda: engine.synced)
        self.gauge("perpdex_answers_waiting", "Answers waiting for the disk", lambda: engine.waiting)
        self.gauge("perpdex_disk_free_bytes", "Free on the journal's disk", lambda: engine.room.free)
        self.gauge("perpdex_disk_short", "1 while requests are refused for it", lambda: engine.room.short)
        self.gauge(
            "perpdex_clock_ahead_seconds",
            "Wall clock's lead over the exchange's: beyond 10 either way after a step that is not followed",
            lambda: wall_ahead(engine.clock) / SECOND,
        )
        self.gauge(
            "perpdex_withdrawal_waiting_seconds",
            "Age of the oldest reservation of a withdrawal that is not closed, 0 when there is none",
            lambda: self._oldest(engine.state.withdrawals),
        )
        listening.to((e.Filled,), self._filled)
        listening.to((e.RequestClosed,), self._request_closed)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish a value that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def refused(self, code: str) -> None:
        self._refused[code] += 1

    def _oldest(self, withdrawals: Mapping[int, e.WithdrawalReserved]) -> float:
        first = next(iter(withdrawals.values()), None)
        return 0.0 if first is None else (self._clock() - first.at) / SECOND

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _filled(self, seq: int, event: e.Filled) -> None:
        self._fills.count += 1

    def _request_closed(self, seq: int, event: e.RequestClosed) -> None:
        self._by_outcome[event.outcome] += 1
        self._commit.observe(self._clock() - event.at)
