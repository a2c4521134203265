"""Prometheus metrics of the edge and of the engine behind it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from core import events as e
from core.events import Event
from matcher.engine import Engine

SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0)


class Metrics:
    """Counts from the engine's events and the edge's calls; gauges are read when they are asked for."""

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._fills = Counter("perpdex_fills", "Fills on disk", registry=self.registry)
        self._closed = Counter(
            "perpdex_requests_closed", "Final answers", ["outcome"], registry=self.registry
        )
        self._refused = Counter(
            "perpdex_refused", "Refused messages and calls", ["code"], registry=self.registry
        )
        self._messages = Counter(
            "perpdex_messages", "WebSocket messages read", ["op"], registry=self.registry
        )
        self._by_op: dict[str, Counter] = {}
        self._by_outcome: dict[str, Counter] = {}
        self._commit = Histogram(
            "perpdex_commit_seconds",
            "From the decision that answers a request until it is on disk and told",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.gauge("perpdex_journal_sequence", "Last decided record", lambda: engine.state.seq)
        self.gauge("perpdex_synced_sequence", "Last record on disk", lambda: engine.synced)
        self.gauge("perpdex_answers_waiting", "Answers waiting for the disk", lambda: engine.waiting)
        engine.listen(self._hear)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish a value that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def message(self, op: str) -> None:
        counter = self._by_op.get(op)
        if counter is None:  # looking a label up costs more than counting
            counter = self._by_op[op] = self._messages.labels(op)
        counter.inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _hear(self, seq: int, event: Event) -> None:
        kind = type(event)
        if kind is e.Filled:
            self._fills.inc()
        elif isinstance(event, e.RequestClosed):
            counter = self._by_outcome.get(event.outcome)
            if counter is None:
                counter = self._by_outcome[event.outcome] = self._closed.labels(event.outcome)
            counter.inc()
            self._commit.observe((self._clock() - event.at) / 1e9)
