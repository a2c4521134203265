"""An hour of a market's funding: which hour an instant belongs to, and the rates that the hour's sums make."""

from enum import IntEnum
from hashlib import blake2b
from typing import Final

import msgspec

from core.funding import (
    HOUR,
    MAKERS_MIN,
    SAMPLES_PER_HOUR,
    FundingTerms,
    eight_hour_rate,
    hourly_rate,
    mean_premium,
    rate_cap,
    skew_drift,
)
from core.margin_terms import MarginTerms, maintenance_fraction
from core.rates import Rate

SAMPLE_EVERY: Final = HOUR // SAMPLES_PER_HOUR
"""Nanoseconds of a window in which one premium is sampled; windows begin at whole multiples of it."""


class Basis(IntEnum):
    """What an hour's rate follows. The numbers are journaled and the names are shown, so both are stable."""

    PREMIUM = 1
    """The mean premium of the standing quotes."""
    SKEW = 2
    """The skew that no making explains: fewer than two owners stood in at least half of the hour."""
    NOTHING = 3
    """The hour has no premium at all: nobody could trade in it, so nobody pays for it."""


class Seen(msgspec.Struct, frozen=True):
    """What an hour's rates are made of: premiums added up, owners that stood in at least half of it, and the market at its end (lots).

    `last` is the rate for eight hours after the hour before it.
    """

    samples: int
    total: int
    makers: int
    skew: int
    open_interest: int
    last: int


class HourRates(msgspec.Struct, frozen=True):
    """`premium` is the mean, `rate` is for eight hours, `hourly` is charged, the next hour's drift starts `after`."""

    basis: Basis
    premium: Rate
    rate: Rate
    hourly: Rate
    after: Rate


def hour_of(at: int) -> int:
    """Number of the hour that the instant `at` (nanoseconds) is paid with: the first whole hour after it, since the Unix epoch."""
    return at // HOUR + 1


def stood_long(times: int, samples: int) -> bool:
    """Whether an owner that stood in so many of an hour's samples counts as standing in the hour: in at least half of them."""
    return 0 < samples <= 2 * times


def explained(net: int, quoted: int, filled: int) -> int:
    """The part of an owner's net lots that its making explains, signed like them.

    That is as many as it `quoted` (on either side, not negative), and as it was `filled` with as a maker (signed) in the same
    direction.
    """
    return max(-quoted + min(0, filled), min(net, quoted + max(0, filled)))


def sampled_at(market: int, window: int, secret: bytes) -> int:
    """The instant within the window (numbered since the Unix epoch) at which the market's premium is sampled.

    Nobody without the secret (at most 64 bytes) can tell it from any other, so who wants to be seen has to stand for the window.
    """
    drawn = blake2b(b"%d %d" % (market, window), key=secret, digest_size=8).digest()
    return window * SAMPLE_EVERY + int.from_bytes(drawn, "big") % SAMPLE_EVERY


def cap_of(terms: FundingTerms, margin: MarginTerms) -> Rate:
    """Largest absolute rate for eight hours, from the fractions of the highest leverage."""
    initial = margin.tiers[0].initial
    return rate_cap(terms, initial, maintenance_fraction(initial, margin.maintenance_share))


def hour_rates(terms: FundingTerms, cap: Rate, seen: Seen, expected: int = SAMPLES_PER_HOUR) -> HourRates:
    """Rates of an hour that saw this; `expected` premiums make it complete, and missing ones count as none.

    Two accounts of one owner are one maker here: its premiums would still be one party's word.
    """
    if not seen.samples:
        return HourRates(Basis.NOTHING, Rate(0), Rate(0), Rate(0), Rate(seen.last))
    mean = mean_premium(seen.total, seen.samples, expected)
    if seen.makers >= MAKERS_MIN:
        rate = eight_hour_rate(mean, terms.interest, terms.interest_clamp, cap)
        return HourRates(Basis.PREMIUM, mean, rate, hourly_rate(rate), rate)
    drift = skew_drift(seen.last, seen.skew, seen.open_interest, terms.velocity, HOUR, cap)
    return HourRates(Basis.SKEW, mean, drift.mean, hourly_rate(drift.mean), drift.after)
