"""A token bucket: how many messages a connection may send, or new agents an address may bring."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Messages per second in the long run, and at once after a pause."""

    per_second: int
    burst: int


class Bucket:
    """Counts in nanoseconds, so nothing is rounded away, and keeps one: the instant at which the bucket is full again."""

    __slots__ = ("_cost", "_full_at", "_missing_max")

    def __init__(self, rate: Rate, now: int) -> None:
        self._cost = 1_000_000_000 // rate.per_second
        self._missing_max = (rate.burst - 1) * self._cost
        self._full_at = now

    def take(self, now: int) -> bool:
        """Whether one more message is within the rate at `now` (monotonic nanoseconds)."""
        if not self.has(now):
            return False
        self._full_at = max(self._full_at, now) + self._cost
        return True

    def has(self, now: int) -> bool:
        """Whether `take` would say yes at `now`."""
        return self._full_at - now <= self._missing_max
