"""What may change in a market while positions are open, as one value, and which values the rules can compute with."""

from typing import Final

import msgspec

from core.margin_terms import MarginTerms
from core.market import PRICE_BAND, Market
from core.open_interest import WINDOW_MAX, WINDOW_MIN, JumpAlarm
from core.quantities import MILLION, Lots, Ppm

FEE_MAX: Final = Ppm(10_000)
"""One percent. A request that is open when the fee changes pays the new one, so a slip of the hand must stay bearable."""
LEVERAGE_MAX: Final = 1_000
CAP_MAX: Final = Lots(10**15)


class MarketLimits(msgspec.Struct, frozen=True, array_like=True):
    """The fields of `Market` of the same names. Everything else of a market gives its positions their meaning and stays."""

    max_leverage: int
    taker_fee: Ppm
    oracle_band: Ppm
    position_cap: Lots
    open_interest_cap: Lots
    margin: MarginTerms | None
    thin_only_reduces: bool
    alarm: JumpAlarm | None
    price_band: Ppm = PRICE_BAND


def limits_of(market: Market) -> MarketLimits:
    return MarketLimits(*(getattr(market, name) for name in MarketLimits.__struct_fields__))


def with_limits(market: Market, limits: MarketLimits) -> Market:
    """The same market under other limits."""
    return msgspec.structs.replace(market, **msgspec.structs.asdict(limits))


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
    alarm = limits.alarm
    if alarm is not None and not (0 < alarm.share <= MILLION and WINDOW_MIN <= alarm.window <= WINDOW_MAX):
        return "An alarm has a share of the cap and a window of a minute to a day."
    return ""
