"""The time-weighted average of a price over a moving window, in integers and in bounded memory.

A price counts from the moment it was recorded until the next one. Time is cut into buckets, each with its integral, so the window
begins at a bucket's edge: the average covers at least `window` and at most a bucket more.
"""

from collections import deque
from typing import Final

from core.quantities import Nanos

BUCKETS: Final = 30
"""How many buckets make a window: its true length is off by at most a thirtieth."""


class Twap:
    """One price's average. Times never go back: an earlier one counts as the latest seen."""

    def __init__(self, window: Nanos) -> None:
        """Raises `ValueError` unless `window` is a positive number of whole buckets."""
        if window <= 0 or window % BUCKETS:
            raise ValueError(f"a window of {window} ns is not {BUCKETS} whole buckets")
        self._width = window // BUCKETS
        # One more than the window: the bucket that is being filled.
        self._buckets: deque[tuple[int, int, int]] = deque(maxlen=BUCKETS + 1)
        self._value: int | None = None
        self._until = 0

    def record(self, value: int, at: Nanos) -> None:
        """The price is `value` from `at` on."""
        if self._value is None:
            self._until = at
        else:
            self._advance(at)
        self._value = value

    def mean(self, now: Nanos) -> int | None:
        """The average up to `now`, rounded to nearest, halves up; None before the first price."""
        if self._value is None:
            return None
        self._advance(now)
        edge = self._until // self._width - BUCKETS
        kept = [bucket for bucket in self._buckets if bucket[0] >= edge]
        time = sum(bucket[1] for bucket in kept)
        if time == 0:
            return self._value
        return (2 * sum(bucket[2] for bucket in kept) + time) // (2 * time)

    def _advance(self, to: int) -> None:
        """Let the current price count up to `to`."""
        value = self._value or 0
        # After a long silence everything before the window is forgotten at once instead of bucket by bucket.
        start = max(self._until, (to // self._width - BUCKETS) * self._width)
        while start < to:
            number = start // self._width
            end = min(to, (number + 1) * self._width)
            time, area = 0, 0
            if self._buckets and self._buckets[-1][0] == number:
                _, time, area = self._buckets.pop()
            self._buckets.append((number, time + end - start, area + value * (end - start)))
            start = end
        self._until = max(self._until, to)
