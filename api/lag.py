"""Whether the loop keeps up: everything here runs on one thread, and whatever keeps it busy, everyone waits for it."""

import asyncio
import time
from typing import Final

from core.quantities import MILLISECOND, SECOND

EVERY: Final = 10 * MILLISECOND
LAG_MAX: Final = 50 * MILLISECOND
"""A turn of the loop that takes longer is too long."""
WARY: Final = SECOND // EVERY
"""Rings in time after which one late ring says nothing again."""


class Lag:
    """A timer that says how late it rings. Lag is high from the second late ring in a row until one that is in time.

    One late ring alone says nothing: the machine may have been away, or a cut was made. But for a second after it was high, the first
    late one is enough. A ring that is overdue right now counts as late: a turn full of one agent's messages is cut short.
    """

    def __init__(self, lag_max: int = LAG_MAX) -> None:
        self._max = lag_max
        self._late = 0
        self._wary = 0
        self._due = time.monotonic_ns()
        self._timer: asyncio.TimerHandle | None = None
        self.last = 0
        """Nanoseconds by which the timer was late when it rang last."""

    def start(self) -> None:
        """Ring from now on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._wind(time.monotonic_ns())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def is_high(self, now: int) -> bool:
        """Whether new work should wait; `now` is monotonic nanoseconds."""
        return self._late + (now - self._due > self._max) > (0 if self._wary else 1)

    def ring(self, now: int) -> None:
        """The timer rang at `now`, and is due again one interval later."""
        self.last = max(0, now - self._due)
        if self.last <= self._max:
            self._late = 0
            self._wary = max(0, self._wary - 1)
        else:
            self._late += 1
            if self._late > 1:
                self._wary = WARY
        self._due = now + EVERY

    def _ring(self) -> None:
        now = time.monotonic_ns()
        self.ring(now)
        self._wind(now)

    def _wind(self, now: int) -> None:
        self._due = now + EVERY
        self._timer = self._loop.call_later(EVERY / SECOND, self._ring)
