"""The premium of a market over its index, from what the standing quotes would really pay."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from core.quantities import MILLION, MicroUsdc, Ppm, divide_up
from core.rates import RATE_ONE, Rate, clamp, divide_to_zero

IMPACT_MARGIN: Final = MicroUsdc(500_000_000)
"""Initial margin of the trade that an impact price is asked for. Source: dYdX v4, impact notional = 500 USDC / initial fraction."""


class PremiumRule(IntEnum):
    """How impact prices become a premium.

    `BEYOND_IMPACT`: only where the index lies outside the impact prices (dYdX v4, Hyperliquid); a wide spread is no premium.
    `MIDDLE`: the middle of the impact prices over the index (Hyperliquid's builder markets).
    """

    BEYOND_IMPACT = 1
    MIDDLE = 2


def impact_notional(initial: Ppm | int) -> MicroUsdc:
    """Micro-USDC traded to find an impact price at an initial fraction (positive), rounded up."""
    return MicroUsdc(divide_up(IMPACT_MARGIN * MILLION, initial))


def impact_price(
    levels: Iterable[tuple[int, int]], tick_value: int, notional: int, *, ask: bool
) -> int | None:
    """Average price, in millionths of a tick, of trading `notional` micro-USDC (positive) through `levels`.

    `levels` are (price in ticks, lots), best first; `tick_value` is micro-USDC per tick and lot. Asks round up and bids down, so
    rounding never makes a premium. `None` when the levels do not hold so much.
    """
    left, lots = notional, 0
    for price, size in levels:
        value = price * size * tick_value
        if value >= left:
            # lots + left / (price * tick_value) lots were traded for `notional`.
            paid, traded = notional * price * MILLION, lots * price * tick_value + left
            return divide_up(paid, traded) if ask else paid // traded
        left -= value
        lots += size
    return None


def premium(
    index: int,
    bid: int | None,
    ask: int | None,
    limit: Rate | int,
    rule: PremiumRule = PremiumRule.BEYOND_IMPACT,
) -> Rate:
    """Premium of impact prices (millionths of a tick, `None` when there is no such depth) over the index (ticks).

    Rounded towards zero and held within `limit`, so that one absurd quote weighs no more than the hour's cap allows.
    """
    even, scale = index * MILLION, 1
    if rule is PremiumRule.BEYOND_IMPACT:
        above = max(0, bid - even) if bid is not None else 0
        below = max(0, even - ask) if ask is not None else 0
        beyond = above - below
    elif bid is None or ask is None:
        beyond = 0
    else:
        beyond, scale = bid + ask - 2 * even, 2
    return Rate(clamp(divide_to_zero(beyond * RATE_ONE, even * scale), limit))
