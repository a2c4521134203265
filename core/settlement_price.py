"""The price at which a delisted market settles: the average of its index over the hour before, each price by the time for which it
stood and was believed.

Time is counted in whole milliseconds and kept by the minute, so an hour of any feed is sixty-one small numbers.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from core.quantities import MILLISECOND, SECOND

MINUTE: Final = 60 * SECOND
WINDOW: Final = 60 * MINUTE
"""As Hyperliquid settles a perp that is delisted: nobody holds a price elsewhere for an hour to move a sixtieth of it by a minute."""
BELIEVED_MIN: Final = WINDOW // 2
"""How much of the window the index must have been believed for; else an average would be of a few moments again."""
_MINUTE: Final = MINUTE // MILLISECOND
_WINDOW: Final = WINDOW // MILLISECOND


class Minute(msgspec.Struct, array_like=True, gc=False):
    """A minute since the Unix epoch: the milliseconds of it in which a price was believed, and the sum of that price (ticks) over
    them."""

    number: int
    millis: int
    area: int


class Average(msgspec.Struct, frozen=True):
    """`price` in ticks, to the nearest one, halves up; `believed` are the nanoseconds that it is the average of, never none."""

    price: int
    believed: int


class Past:
    """What one market's index was in the last hour and in the minute that runs. Times never go back."""

    __slots__ = ("minutes",)

    def __init__(self, minutes: Iterable[Minute] = ()) -> None:
        self.minutes = deque(minutes, maxlen=WINDOW // MINUTE + 1)

    def add(self, price: int, since: int, until: int) -> None:
        """The price (ticks) stood and was believed between two instants in nanoseconds."""
        for part in spread(price, since, until):
            last = self.minutes[-1] if self.minutes else None
            if last is not None and last.number == part.number:
                last.millis += part.millis
                last.area += part.area
            else:
                self.minutes.append(part)


def foreseen(past: Past, price: int, since: int, end: int) -> int:
    """The average in ticks of the window that ends at `end`, if the price that stands since `since` stays; the price itself where
    nothing else was believed, or `end` is past."""
    whole = Past(replace(one) for one in past.minutes)
    whole.add(price, since, end)
    found = average(whole.minutes, end)
    return found.price if found is not None else price


def spread(price: int, since: int, until: int) -> Iterator[Minute]:
    """A price that stood between two instants, minute by minute; nothing of what is too long ago for any window that ends with it."""
    end = until // MILLISECOND
    start = max(since // MILLISECOND, end - _WINDOW - _MINUTE)
    while start < end:
        number = start // _MINUTE
        stop = min(end, (number + 1) * _MINUTE)
        yield Minute(number, stop - start, price * (stop - start))
        start = stop


def window_end(at: int) -> int:
    """The end of the last whole minute at `at`, nanoseconds: windows are of whole minutes."""
    return at // MINUTE * MINUTE


def within(minutes: Iterable[Minute], end: int) -> list[Minute]:
    """Those of the window that ends at `end`, a whole minute in nanoseconds."""
    after = end // MINUTE
    return [one for one in minutes if after - WINDOW // MINUTE <= one.number < after]


def average(minutes: Iterable[Minute], end: int) -> Average | None:
    """The average of the window that ends at `end`, a whole minute in nanoseconds; None when no price was believed in it."""
    counted = within(minutes, end)
    millis = sum(one.millis for one in counted)
    if not millis:
        return None
    return Average((2 * sum(one.area for one in counted) + millis) // (2 * millis), millis * MILLISECOND)
