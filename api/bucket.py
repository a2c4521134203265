"""A token bucket: how many messages a connection may send."""

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
        missing = self._full_at - now
        if missing > self._missing_max:
            return False
        self._full_at = (self._full_at if missing > 0 else now) + self._cost
        return True
