"""The exchange's clock: the wall's, except for steps that no clock makes by itself."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from core.quantities import SECOND

STEP_MAX: Final = 10 * SECOND
"""Largest step of the wall clock against the time that really passed that is followed."""
# One that goes on while the machine is suspended, where there is one: prices would come from the future afterwards.
_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger("perpdex.clock")


class ClockBehind(Exception):
    """The journal's newest record is later than this machine's clock by more than any correction of a clock. The sentence says by how
    much."""


def refuse_if_behind(newest: int, now: int) -> None:
    """Raise `ClockBehind` when the clock says `now` and the journal's newest record is of more than `STEP_MAX` later, in nanoseconds.

    The exchange's time would stand still until the clock has caught up: every new price refused as older than the last, that one
    believed and traded at all the while, no quote expiring, no hour of funding ending.
    """
    behind = newest - now
    if behind > STEP_MAX:
        when = datetime.fromtimestamp(newest // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
        raise ClockBehind(
            f"this machine's clock is {-(-behind // SECOND)} s behind the journal's newest record, which is of {when} UTC: set the "
            "clock right and start again, or, if the clock that wrote it was ahead, start again when that instant has come"
        )


def passed() -> int:
    """Nanoseconds from some fixed instant, without steps."""
    return time.clock_gettime_ns(_BOOT)


def wall_ahead(clock: Callable[[], int]) -> int:
    """Nanoseconds by which the wall clock is ahead of an exchange's: beyond `STEP_MAX` after a step that is not followed."""
    return time.time_ns() - clock()


class SteadyClock:
    """Nanoseconds since the epoch, from clocks that are arguments: `wall`, and `steady`, which knows no steps but no date either.

    The exchange's time never goes back, so a wall clock followed an hour ahead by mistake would make every index look old until it
    has been caught up with. A larger step than `STEP_MAX` is therefore not followed until the wall clock is within it again, or
    the process starts anew. However long it stays: a machine that its host had suspended, whose steady clock stood still too, looks
    the same from here as one whose date was set wrong, and following the latter cannot be undone. So a person decides.
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
                    "the wall clock stepped by %d s and is not followed: correct it, or stop the exchange and start it again, "
                    "which needs a clock that is not behind the journal",
                    (offset - self._offset) // SECOND,
                )
            else:
                _log.warning("the wall clock is followed again")
        if not stepped:
            self._offset = offset
        return steady + self._offset
