"""How far from the mark is sold what is in no hurry: near it at first, then time looks for bidders.

That is what the insurance fund holds, of its own accord, and what owners must close to leave.
"""

from typing import Final

import msgspec

from core.quantities import SECOND, Nanos, Ppm

WIDEST: Final = 6
"""Steps from the mark to as far as auctions of accounts ever go; the first sale is one of them away."""
WIDENED_EVERY: Final = 60 * SECOND
"""Nothing is sold further away before it has been offered nearer for so long, in nanoseconds, and nobody bought."""
FORGOTTEN_AFTER: Final = 600 * SECOND
"""A sale that rested so long, in nanoseconds, begins near the mark again: the position is another, or the market was closed."""


def spread_of(widest: Ppm | int, steps: int) -> Ppm:
    """Of the maintenance fraction, what a bound so many steps away leaves the mark by, where `widest` is the most; rounded down."""
    return Ppm(widest * steps // WIDEST)


def steps_until(begins: int, ends: int, at: int) -> int:
    """How far a sale with a deadline has come at `at`: a step away when it `begins`, and as far as any goes for the last sixth of the
    time until it `ends`, whether or not anybody was asked. Instants in nanoseconds."""
    if at >= ends:
        return WIDEST
    return min(WIDEST, 1 + WIDEST * max(0, at - begins) // (ends - begins))


class Sale(msgspec.Struct):
    """The fund's sale of what it holds in one market, and over with that: `steps` from the mark are its auctions, and were so since
    `since`; 0 before the first."""

    steps: int = 1
    since: Nanos = Nanos(0)

    def spread(self, widest: Ppm | int, at: int) -> Ppm:
        """Of the maintenance fraction, what the bound leaves the mark by at `at`, where `widest` is the most; rounded down."""
        return spread_of(widest, self.steps_at(at))

    def closed(self, filled: int, size: int, at: int) -> None:
        """An auction of `size` lots is over: one in vain widens the next, if this step has had its time; one that sold at least half
        brings the next a step back, so that who waits for the widest waits again, and cannot stay there by leaving a lot. One that
        sold less does neither: a lot now and then must not hold the fund's position where nobody buys it."""
        steps = self.steps_at(at)
        if 2 * filled >= size:
            self.steps, self.since = max(1, steps - 1), Nanos(at)
        elif at - self.since > FORGOTTEN_AFTER:
            self.steps, self.since = 1, Nanos(at)
        elif not filled and at - self.since >= WIDENED_EVERY:
            self.steps, self.since = min(WIDEST, steps + 1), Nanos(at)

    def steps_at(self, at: int) -> int:
        """How far it has come at `at`, of `WIDEST`."""
        return self.steps if at - self.since <= FORGOTTEN_AFTER else 1
