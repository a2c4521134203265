"""How far from the mark the insurance fund sells what it holds of its own accord: near it at first, then time looks for bidders."""

from typing import Final

import msgspec

from core.quantities import SECOND, Nanos, Ppm

WIDEST: Final = 6
"""Steps from the mark to as far as auctions of accounts ever go; the first sale is one of them away."""
WIDENED_EVERY: Final = 60 * SECOND
"""Nothing is sold further away before it has been offered nearer for so long, in nanoseconds, and nobody bought."""


FORGOTTEN_AFTER: Final = 600 * SECOND
"""A sale that rested so long, in nanoseconds, begins near the mark again: the position is another, or the market was closed."""


class Sale(msgspec.Struct):
    """The fund's sale in one market: so many steps from the mark were its auctions when that last changed or was tried, at `since`."""

    steps: int = 1
    since: Nanos = Nanos(0)

    def spread(self, widest: Ppm | int, at: int) -> Ppm:
        """Of the maintenance fraction, what the bound leaves the mark by at `at`, where `widest` is the most; rounded down."""
        return Ppm(widest * self._steps_at(at) // WIDEST)

    def closed(self, filled: int, at: int) -> None:
        """An auction is over: one in vain widens the next, if the last step was long enough ago; one that found a bidder brings
        the next a step back, so that who waits for the widest waits again."""
        steps = self._steps_at(at)
        if filled:
            self.steps, self.since = max(1, steps - 1), Nanos(at)
        elif at - self.since >= WIDENED_EVERY:
            self.steps, self.since = min(WIDEST, steps + 1), Nanos(at)

    def _steps_at(self, at: int) -> int:
        return self.steps if at - self.since <= FORGOTTEN_AFTER else 1
