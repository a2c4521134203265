"""Funding: an hour's rate from its premiums or from skew, and the payments it makes, which sum to zero."""

from collections.abc import Container, Iterable
from typing import Final, cast

import msgspec

from core.premium import PremiumRule
from core.quantities import MILLION, SECOND, AccountId, MicroUsdc, Ppm, share_down
from core.rates import PERCENT, Rate, clamp, divide_to_zero

HOUR: Final = 3_600 * SECOND
HOURS_PER_RATE: Final = 8
"""Rates are named for eight hours, as the field does, and an eighth is paid every hour."""
SAMPLES_PER_HOUR: Final = 720
"""One premium every five seconds."""
MAKERS_MIN: Final = 2
"""With fewer makers standing in the hour its premiums are one party's word, and the rate follows the skew instead."""


class FundingTerms(msgspec.Struct, frozen=True, array_like=True):
    """Funding parameters of one market; all rates for eight hours.

    `interest` and `interest_clamp`: 0.01 % and 0.05 %; `cap`: 32 %, which is 4 % an hour (all Hyperliquid). `margin_factor` caps
    the rate at a multiple of initial less maintenance fraction (dYdX v4, 600 %): below 800 % no hour's payment takes an account
    that meets its initial requirement to liquidation while the mark is at the index (`core.market_limits` takes 700 % at most).
    `velocity` is the change per hour when all of the open interest is skewed (GMX v2: 90 % a year within three hours).
    `treasury_share` of what a maker receives goes to the treasury.
    """

    interest: Rate = Rate(PERCENT // 100)
    interest_clamp: Rate = Rate(PERCENT // 20)
    cap: Rate = Rate(32 * PERCENT)
    margin_factor: Ppm = Ppm(6_000_000)
    velocity: Rate = Rate(274_000_000)
    treasury_share: Ppm = Ppm(100_000)
    rule: PremiumRule = PremiumRule.BEYOND_IMPACT


def margin_cap(factor: Ppm | int, initial: Ppm | int, maintenance: Ppm | int) -> Rate:
    """Largest absolute eight-hour rate for a market with these margin fractions; exact. Source: dYdX v4's funding clamp."""
    return Rate(factor * (initial - maintenance))


def rate_cap(terms: FundingTerms, initial: Ppm | int, maintenance: Ppm | int) -> Rate:
    """Largest absolute eight-hour rate of a market whose highest leverage has these fractions."""
    return min(terms.cap, margin_cap(terms.margin_factor, initial, maintenance))


def mean_premium(total: int, count: int, expected: int = SAMPLES_PER_HOUR) -> Rate:
    """Mean of `count` premiums adding up to `total`, rounded towards zero. Missing ones count as none: nothing seen, nothing owed.

    Source: dYdX v4, which divides by the expected number as well.
    """
    return Rate(divide_to_zero(total, max(count, expected)))


def eight_hour_rate(premium: int, interest: int, interest_clamp: int, cap: int) -> Rate:
    """premium + clamp(interest - premium), within `cap`; exact. Positive: longs pay. Source: Hyperliquid (and BitMEX before)."""
    return Rate(clamp(premium + clamp(interest - premium, interest_clamp), cap))


def hourly_rate(rate: int, hours: int = HOURS_PER_RATE) -> Rate:
    """The part of a rate for `hours` that one hour pays, rounded towards zero."""
    return Rate(divide_to_zero(rate, hours))


class Drift(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rate after drifting for a while, and its mean over that time: what the time pays."""

    after: Rate
    mean: Rate


def skew_drift(rate: int, skew: int, scale: int, velocity: int, elapsed: int, cap: int) -> Drift:
    """How a rate moves while it follows the skew: `velocity` per hour at full skew, in proportion below, towards who dominates.

    Longs equal shorts here, so `skew` is the net lots that no making explains and `scale` the open interest, in lots;
    `elapsed` is nanoseconds. It starts at the last rate, so the fallback neither jumps in nor out. Rounded towards zero and
    held within `cap`; without open interest nothing moves. Source: Synthetix v3's funding velocity, with its mean of before and after.
    """
    if scale == 0:
        return Drift(Rate(rate), Rate(rate))
    change = divide_to_zero(clamp(skew, scale) * velocity * elapsed, scale * HOUR)
    after = clamp(rate + change, cap)
    return Drift(Rate(after), Rate(divide_to_zero(rate + after, 2)))


def charge_per_lot(value_per_lot: int, rate: int) -> int:
    """Millionths of a micro-USDC that a long lot worth `value_per_lot` micro-USDC at the index pays at `rate`; rounded towards zero.

    Source: Hyperliquid, size * oracle price * rate; dYdX v4 rounds its funding index the same way.
    """
    return divide_to_zero(value_per_lot * rate, MILLION)


def payment(size: int, charge: int) -> MicroUsdc:
    """Micro-USDC that `size` lots pay at a charge per lot; negative is received. Payers round up, receivers down."""
    return MicroUsdc(-(-size * charge // MILLION))


def owed(size: int, charge: int, maker: bool, treasury_share: Ppm | int) -> MicroUsdc:
    """Micro-USDC that an account pays for `size` lots in `funding_run`; negative is received, of which a maker keeps its share."""
    amount = payment(size, charge)
    if maker and amount < 0:
        return MicroUsdc(-share_down(-amount, MILLION - treasury_share))
    return amount


class FundingRun(msgspec.Struct, frozen=True):
    """One market's funding of one hour, micro-USDC: what each account pays (negative: receives), without zeros, what payers are
    `charged` in all, and where the rest went.

    All of `payments` together are `treasury` plus `insurance`; neither is ever negative.
    """

    payments: list[tuple[AccountId, MicroUsdc]]
    charged: MicroUsdc
    treasury: MicroUsdc
    insurance: MicroUsdc


def funding_run(
    positions: Iterable[tuple[AccountId, int]],
    charge: int,
    makers: Container[int],
    treasury_share: Ppm | int,
) -> FundingRun:
    """Payments of all positions (account, lots) of a market, in the order given; the lots must add up to zero.

    A maker keeps what it receives less the treasury's share, rounded down; payers' fractions go to the insurance fund.
    """
    payments: list[tuple[int, int]] = []
    charged = received = treasury = 0
    kept_share = MILLION - treasury_share
    for account, size in positions:
        amount = -(-size * charge // MILLION)
        if amount > 0:
            charged += amount
        elif not amount:
            continue
        else:
            if account in makers:
                kept = share_down(-amount, kept_share)
                treasury -= amount + kept
                amount = -kept
                if not kept:
                    continue
            received -= amount
        payments.append((account, amount))
    named = cast(list[tuple[AccountId, MicroUsdc]], payments)  # To name each would take a third of the time.
    return FundingRun(
        named, MicroUsdc(charged), MicroUsdc(treasury), MicroUsdc(charged - received - treasury)
    )
