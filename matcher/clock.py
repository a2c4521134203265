"""The exchange's clock: the wall's, except for steps that no clock makes by itself."""

import logging
import time
from collections.abc import Callable
from typing import Final

from core.quantities import SECOND

STEP_MAX: Final = 10 * SECOND
"""Largest step of the wall clock against the time that really passed that is followed."""
# One that goes on while the machine is suspended, where there is one: prices would come from the future afterwards.
_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger("perpdex.clock")


def passed() -> int:
    """Nanoseconds from some fixed instant, without steps."""
    return time.clock_gettime_ns(_BOOT)


class SteadyClock:
    """Nanoseconds since the epoch, from clocks that are arguments: `wall`, and `steady`, which knows no steps but no date either.

    The exchange's time never goes back, so a wall clock followed an hour ahead by mistake would make every index look old until it
    has been caught up with. A larger step than `STEP_MAX` is therefore not followed until the wall clock is within it again, or
    the process starts anew.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = passed) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._stepped = False

    def __call__(self) -> int:
        steady = self._steady()
        offset = self._wall() - steady
        stepped = abs(offset - self._offset) > STEP_MAX
        if stepped != self._stepped:
            self._stepped = stepped
            if stepped:
                _log.error(
                    "the wall clock stepped by %d s and is not followed: correct it, or stop and start the exchange",
                    (offset - self._offset) // SECOND,
                )
            else:
                _log.warning("the wall clock is followed again")
        if not stepped:
            self._offset = offset
        return steady + self._offset
