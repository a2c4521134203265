"""When a market's open interest grows so fast that somebody should look: a stated rule over three remembered numbers."""

import msgspec

from core.quantities import MILLION, SECOND, Lots, Nanos, Ppm

DOUBLED = 2
WINDOW_MIN = Nanos(60 * SECOND)
WINDOW_MAX = Nanos(24 * 3_600 * SECOND)


class JumpAlarm(msgspec.Struct, frozen=True, array_like=True):
    """Open interest jumped when it rose by more than `share` (ppm of the market's cap) within `window` nanoseconds and at least
    doubled. With `only_reduces` the market then only takes what reduces, until an operator opens it again.

    Source: dYdX v3's YFI market of November 2023, where a hundred wallets of one person took open interest from 0.8 to 67 million USDC
    before the loss; no account's own limit was broken. The share keeps small markets quiet, the doubling busy ones.
    """

    share: Ppm
    window: Nanos
    only_reduces: bool = False


class Lows(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The lowest open interest (lots) in the window that began at `since`, and in the one before it.

    Two windows stand for a sliding one: the lower of both looks back over one window at least and two at most, at the same cost
    however many trades there were.
    """

    since: Nanos
    before: Lots
    present: Lots

    @property
    def lowest(self) -> int:
        return min(self.before, self.present)


def followed(lows: Lows, held: int, now_held: int, at: int, window: int) -> Lows:
    """The lows after open interest went from `held` to `now_held` lots at `at`, having stood at `held` since it last changed."""
    passed = at - lows.since
    if passed >= 2 * window:
        lows = Lows(Nanos(at), Lots(held), Lots(held))
    elif passed >= window:
        lows = Lows(Nanos(lows.since + window), lows.present, Lots(held))
    if now_held >= lows.present:
        return lows
    return Lows(lows.since, lows.before, Lots(now_held))


def jumped(lowest: int, open_interest: int, cap: int, share: int) -> bool:
    """Whether a rise from `lowest` to `open_interest` lots is a jump in a market with that cap."""
    return (open_interest - lowest) * MILLION > share * cap and open_interest >= DOUBLED * lowest
