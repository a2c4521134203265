"""What the demonstration agents report about themselves, summed up."""

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

TRADER: Final = "trader"
RATE_WINDOW_S: Final = 5.0
LATENCIES_KEPT: Final = 100_000
"""Of the latest answers; older ones no longer count for the percentiles."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from sending a request to its final answer, as the agents measured it; 0 without any."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Tallied:
    """Sums up to a moment. `requests` are the traders'; `rejected` counts by code what was refused to traders and makers alike;
    `requests_per_second` is of the last seconds."""

    requests: int
    outcomes: dict[str, int]
    rejected: dict[str, int]
    unknown: int
    latency: Latency
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class VaultSaid:
    """What a vault's strategy said last of it. `nav` is of the snapshot of instant `at` (microseconds), both None before the first;
    `demo_prices` are legs that it has at a made-up price; `orders` count by venue and status."""

    vault: str
    nav: str | None
    at: int | None
    demo_prices: list[str]
    positions: dict[str, dict[str, str]]
    orders: dict[str, dict[str, int]]


class Tally:
    """Takes the agents' lines, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._longest = 0.0
        self._outcomes: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._requests = 0
        self._unknown = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._ready: set[str] = set()
        self._done: dict[str, int] = {}
        self._vault: VaultSaid | None = None

    def hear(self, role: str, line: str) -> None:
        """One line of the process of "maker" or "trader" agents, or of the "strategy". Raises `ValueError` when it is not one."""
        said = json.loads(line)
        with self._lock:
            match said["type"]:
                case "answers":
                    self._answers(role, said)
                case "ready":
                    self._ready.add(role)
                case "done":
                    self._done[role] = said["mismatches"]
                case "vault":
                    self._vault = VaultSaid(*(said[name] for name in VaultSaid.__slots__))
                case other:
                    raise ValueError(f"agents say {other!r}, which nobody here understands")

    def ready(self, role: str) -> bool:
        """Whether all agents of a role are connected and funded."""
        with self._lock:
            return role in self._ready

    @property
    def mismatches(self) -> dict[str, int]:
        """By role, of the processes that ended: how often an agent's own books differed from the exchange's."""
        with self._lock:
            return dict(self._done)

    @property
    def vault(self) -> VaultSaid | None:
        """What was said last of the vault; None before anything was, and where there is none."""
        with self._lock:
            return self._vault

    def not_compared(self, ended: Mapping[str, int]) -> tuple[str, ...]:
        """Of processes by name ("makers", "traders", "strategy") with their exit codes, those that did not compare their books and end
        well."""
        compared = self.mismatches
        return tuple(
            f"{name} (exit code {code})"
            for name, code in ended.items()
            if code or name.removesuffix("s") not in compared
        )

    def so_far(self) -> Tallied:
        with self._lock:
            self._forget(monotonic())
            recent = sum(count for _, count in self._recent)
            return Tallied(
                requests=self._requests,
                outcomes=dict(sorted(self._outcomes.items())),
                rejected=dict(sorted(self._rejected.items())),
                unknown=self._unknown,
                latency=_latency(sorted(self._latencies), self._longest),
                requests_per_second=recent / RATE_WINDOW_S,
            )

    def _answers(self, role: str, said: dict[str, Any]) -> None:
        answers, refused, unknown = said["answers"], said["refused"], said["unknown"]
        for _, _, outcome, _, elapsed_ms in answers:
            self._outcomes[outcome] += 1
            self._latencies.append(elapsed_ms)
            self._longest = max(self._longest, elapsed_ms)
        self._rejected.update(refused)
        self._unknown += unknown
        if role == TRADER:
            asked = len(answers) + sum(refused.values()) + unknown
            self._requests += asked
            self._recent.append((monotonic(), asked))

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RATE_WINDOW_S:
            self._recent.popleft()


def _latency(ascending: Sequence[float], longest: float) -> Latency:
    return Latency(
        percentile(ascending, 50) if ascending else 0.0,
        percentile(ascending, 99) if ascending else 0.0,
        longest,
    )


def percentile(ascending: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` in a hundred do not exceed."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]
