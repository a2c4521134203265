"""A token bucket: how many messages a connection may send."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Messages per second in the long run, and at once after a pause."""

    per_second: int
    burst: int


class Bucket:
    """Counts in nanoseconds of allowance, so nothing is rounded away."""

    __slots__ = ("_cost", "_full", "_left", "_seen")

    def __init__(self, rate: Rate, now: int) -> None:
        self._cost = 1_000_000_000 // rate.per_second
        self._full = rate.burst * self._cost
        self._left = self._full
        self._seen = now

    def take(self, now: int) -> bool:
        """Whether one more message is within the rate at `now` (monotonic nanoseconds)."""
        self._left = min(self._full, self._left + now - self._seen)
        self._seen = now
        if self._left < self._cost:
            return False
        self._left -= self._cost
        return True
