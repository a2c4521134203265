"""A token bucket: how many messages an account may send, calls an address may make, or new agents it may bring."""

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
        self._missing_max = rate.burst * self._cost
        self._full_at = now

    def take(self, now: int, count: int = 1) -> bool:
        """Whether `count` more messages are within the rate at `now` (monotonic nanoseconds); then they are counted."""
        if not self.has(now, count):
            return False
        self._full_at = max(self._full_at, now) + count * self._cost
        return True

    def has(self, now: int, count: int = 1) -> bool:
        """Whether `take` would say yes at `now`."""
        return max(self._full_at - now, 0) + count * self._cost <= self._missing_max

    def left(self, now: int) -> int:
        """How many more `take` would give at `now`."""
        return (self._missing_max - max(self._full_at - now, 0)) // self._cost

    def full_in_s(self, now: int) -> int:
        """Seconds until all are there again, rounded up."""
        return -(-max(self._full_at - now, 0) // 1_000_000_000)
