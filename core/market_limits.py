"""What may change in a market while positions are open, as one value, and which values the rules can compute with."""

from typing import Final

import msgspec

from core.funding import FundingTerms
from core.liquidation import LiquidationTerms
from core.margin_terms import MarginTerms
from core.mark_price import MarkTerms
from core.market import PRICE_BAND, Market
from core.open_interest import WINDOW_MAX, WINDOW_MIN, JumpAlarm
from core.quantities import MILLION, MONEY_MAX, SECOND, Lots, Ppm
from core.rates import PERCENT, Rate

FEE_MAX: Final = Ppm(10_000)
"""One percent. A request that is open when the fee changes pays the new one, so a slip of the hand must stay bearable."""
LEVERAGE_MAX: Final = 1_000
CAP_MAX: Final = Lots(10**15)
LIQUIDATION_FEE_MAX: Final = Ppm(20_000)
"""Of the value of what an auction sells; it never takes more than what came in above the bankruptcy value."""
URGENCY_MAX: Final = Ppm(1_000 * MILLION)
MAINTENANCE_MIN, MAINTENANCE_MAX = Ppm(100_000), Ppm(900_000)
"""Shares of the initial fraction. Without maintenance nobody is ever liquidated; without a distance between the two a mark has no room
beside the index, and funding no rate (`core.mark_price.basis_bound`, `core.funding.rate_cap`)."""
RATE_CAP_MAX: Final = Rate(32 * PERCENT)
"""For eight hours: 4 % an hour, the most that anybody in the field takes (Hyperliquid). It may be set lower, never higher."""
MARGIN_FACTOR_MAX: Final = Ppm(7 * MILLION)
"""At eight times the distance of initial and maintenance fraction an hour's payment takes all of it, so that who has just opened is
liquidated by funding alone; the eighth that is missing holds what is rounded up."""
INTEREST_MAX: Final = Rate(PERCENT // 10)
"""For eight hours, either way, and as the clamp: 0.3 % a day. Interest is paid at no premium at all, and within the clamp no premium
moves the rate; the mark leaves the index by half a percent at most."""
VELOCITY_MAX: Final = Rate(PERCENT)
"""Per hour at full skew: in a day a rate of nothing comes to 24 %."""
DRIFT_MAX: Final = Ppm(MILLION)
NUMBER_MAX: Final = (1 << 31) - 1
"""Markets are named by 32-bit numbers in tables."""
VALUE_MAX: Final = 10**12
"""Micro-USDC that a tick of a lot may be worth."""
AGE_MIN, AGE_MAX = SECOND, 86_400 * SECOND
"""Nanoseconds for which a market's last index may be believed."""
_SINCE: Final = ("liquidation", "funding", "index_max_age", "greedy_deleveraging", "mark", "fill_max_age")
"""Limits that older records do not know."""


class MarketLimits(msgspec.Struct, frozen=True, array_like=True):
    """The fields of `Market` of the same names. Everything else of a market gives its positions their meaning and stays.

    The last six are None in records from before they could be changed, which left them as they were.
    """

    max_leverage: int
    taker_fee: Ppm
    oracle_band: Ppm
    position_cap: Lots
    open_interest_cap: Lots
    margin: MarginTerms | None
    thin_only_reduces: bool
    alarm: JumpAlarm | None
    price_band: Ppm = PRICE_BAND
    liquidation: LiquidationTerms | None = None
    funding: FundingTerms | None = None
    index_max_age: int | None = None
    greedy_deleveraging: bool | None = None
    mark: MarkTerms | None = None
    fill_max_age: int | None = None


def limits_of(market: Market) -> MarketLimits:
    return MarketLimits(*(getattr(market, name) for name in MarketLimits.__struct_fields__))


def with_limits(market: Market, limits: MarketLimits) -> Market:
    """The same market under other limits."""
    given = msgspec.structs.asdict(limits)
    return msgspec.structs.replace(
        market, **{name: value for name, value in given.items() if value is not None or name not in _SINCE}
    )


def unlike(one: Market, other: Market) -> bool:
    """Whether a price or a position means something else in the two, or comes from elsewhere: what limits do not say."""
    return with_limits(one, limits_of(other)) != other


def unlistable(market: Market) -> str:
    """What is wrong with a market that is to be listed in a sentence; empty when the rules can compute with it."""
    if not 0 < market.id <= NUMBER_MAX or not 0 < market.value_per_tick_lot <= VALUE_MAX:
        return "A market's number and unit value are positive and within range."
    return flaw(limits_of(market))


def flaw(limits: MarketLimits) -> str:
    """What is wrong with `limits` in a sentence; empty when they can be used."""
    if not 0 < limits.max_leverage <= LEVERAGE_MAX:
        return f"The highest leverage is 1 to {LEVERAGE_MAX}."
    if not 0 <= limits.taker_fee <= FEE_MAX:
        return f"The taker's fee is at most {FEE_MAX} parts per million."
    if not 0 <= limits.oracle_band <= MILLION:
        return "The oracle band is at most the whole price."
    if not 0 < limits.price_band < MILLION:
        return "The price band is more than nothing and less than the whole price."
    if not 0 < limits.position_cap <= CAP_MAX or not 0 < limits.open_interest_cap <= CAP_MAX:
        return "Caps are positive: a market that shall not grow is set to reduce-only."
    if limits.margin is not None and limits.margin.tiers[0].initial != -(-MILLION // limits.max_leverage):
        return "The first margin tier requires the inverse of the highest leverage."
    if limits.margin is not None and not _in_range(limits.margin):
        return "Margin's tiers and bounds are amounts that are not negative."
    if (
        limits.margin is not None
        and not MAINTENANCE_MIN <= limits.margin.maintenance_share <= MAINTENANCE_MAX
    ):
        return (
            f"Maintenance is {MAINTENANCE_MIN} to {MAINTENANCE_MAX} parts per million of the initial fraction: below, nobody would be "
            "liquidated before it has nothing left, and above, the mark could not leave the index."
        )
    alarm = limits.alarm
    if alarm is not None and not (0 < alarm.share <= MILLION and WINDOW_MIN <= alarm.window <= WINDOW_MAX):
        return "An alarm has a share of the cap and a window of a minute to a day."
    if limits.index_max_age is not None and not AGE_MIN <= limits.index_max_age <= AGE_MAX:
        return "An index may be believed for a second to a day."
    if limits.fill_max_age is not None and not AGE_MIN <= limits.fill_max_age <= AGE_MAX:
        return "A feed may be silent for a second to a day before nobody trades at its last price."
    mark = limits.mark
    if mark is not None and not (0 <= mark.basis_max < MILLION and 0 < mark.drift <= DRIFT_MAX):
        return "A mark has a bound below the whole price, and moves, by at most the whole price in a second."
    if limits.liquidation is not None and not _can_liquidate(limits.liquidation):
        return (
            "Liquidation's shares are parts of a whole, its slices not empty, its urgency positive and its fee at most "
            f"{LIQUIDATION_FEE_MAX} parts per million."
        )
    if limits.funding is not None and not _can_charge(limits.funding):
        return (
            f"Funding's sizes are not negative: its cap is at most {RATE_CAP_MAX}, interest and clamp {INTEREST_MAX} (interest "
            f"within the cap), velocity {VELOCITY_MAX}, all times 10^-12, its margin factor {MARGIN_FACTOR_MAX} parts per million, "
            "its share 1."
        )
    return ""


def _in_range(terms: MarginTerms) -> bool:
    # Both rise, so the last are the largest.
    return (
        terms.open_interest_lower >= 0 and max(terms.open_interest_upper, terms.tiers[-1].above) <= MONEY_MAX
    )


def _can_liquidate(terms: LiquidationTerms) -> bool:
    shares = (terms.surplus_share, terms.spread)
    return (
        0 < terms.slice_share <= MILLION
        and 0 <= terms.whole_up_to <= MONEY_MAX
        and 0 <= terms.fee <= LIQUIDATION_FEE_MAX
        and all(0 <= share <= MILLION for share in shares)
        and 0 < terms.urgency <= URGENCY_MAX
    )


def _can_charge(terms: FundingTerms) -> bool:
    bounds = (
        (terms.interest_clamp, INTEREST_MAX),
        (terms.cap, RATE_CAP_MAX),
        (terms.margin_factor, MARGIN_FACTOR_MAX),
        (terms.velocity, VELOCITY_MAX),
    )
    return (
        all(0 <= size <= most for size, most in bounds)
        and abs(terms.interest) <= min(terms.cap, INTEREST_MAX)
        and 0 <= terms.treasury_share <= MILLION
    )
