"""What Synthetix tells of the past: how far back it may be asked, and how all of a window is read whatever the order of an answer.

Instants are milliseconds since the Unix epoch, as the venue counts, unless a name says otherwise.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from core.quantities import MILLISECOND

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
MEMORY: Final = 30 * DAY
"""`getFundingPayments`, by the venue's documentation: "startTime cannot be more than 30 days in the past"; not said of trades, but no
more of them is needed."""
SLACK: Final = HOUR
"""So much later than the first instant that it takes is asked for: its clock is not ours, and a request takes its time."""
LONGEST: Final = 7 * DAY
"""Of one question. The venue's SDK says of the history of orders that a window is of seven days at most; nothing longer is needed."""
QUIET: Final = 2 * DAY
"""A cursor behind which nothing happened for so long moves on, and stays half of it behind now, for what is told late."""

Row = dict[str, Any]


class Window(NamedTuple):
    """From `first` to `last`, both with it."""

    first: int
    last: int


def first_asked(cursor: str, now: int) -> int:
    """The first instant behind a cursor that the venue may be asked for; of an empty one all that it remembers.

    `now` in nanoseconds.
    """
    return max(_instant(cursor), now // MILLISECOND - MEMORY + SLACK)


def forgotten(cursor: str, now: int) -> str:
    """A sentence on what lies between a cursor and the venue's memory; empty where nothing does, and before the first cursor, behind
    which nobody counted on anything. `now` in nanoseconds."""
    since, first = _instant(cursor), first_asked(cursor, now)
    if not since or since == first:
        return ""
    after = datetime.fromtimestamp(since // 1_000, UTC).isoformat()
    return f"what was paid in the {(first - since) // HOUR + 1} hours after {after} is told no more"


def _instant(cursor: str) -> int:
    return int(cursor.partition("|")[0] or 0)


def moved_on(cursor: str, now: int) -> str:
    """The cursor behind an answer with nothing new in it. `now` in nanoseconds."""
    if _instant(cursor) >= now // MILLISECOND - QUIET:
        return cursor
    return f"{now // MILLISECOND - QUIET // 2}|"


def windows(since: int, until: int) -> Iterator[Window]:
    """One after another, all that there is between two instants."""
    while since <= until:
        last = min(since + LONGEST - 1, until)
        yield Window(since, last)
        since = last + 1


async def whole(
    window: Window, ask: Callable[[Window], Awaitable[list[Row]]], most: int, at: Callable[[Row], int]
) -> list[Row]:
    """All rows of a window. An answer as long as answers may be is of an unknown part, so its halves are asked for instead.

    Raises `ValueError` when a single instant has more rows than an answer.
    """
    rows = await ask(window)
    if len(rows) < most:
        return [row for row in rows if window.first <= at(row) <= window.last]
    if window.first == window.last:
        raise ValueError(f"{len(rows)} rows of one instant, and no way behind them")
    middle = (window.first + window.last) // 2
    older = await whole(Window(window.first, middle), ask, most, at)
    return older + await whole(Window(middle + 1, window.last), ask, most, at)
