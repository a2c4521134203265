"""How far prices may be from the index: of a quote that has stood for a while, and of any trade."""

from collections.abc import Iterable

from core.market import Market
from core.quantities import MILLION


def within_band(market: Market, given: int, now: int) -> bool:
    """Whether the index moved no further than the market's band since a quote was given."""
    return abs(now - given) * MILLION <= market.oracle_band * given


def trading_range(market: Market, index: int) -> tuple[int, int]:
    """Lowest and highest price in ticks at which agents may trade in the market while the index is there."""
    away = index * market.price_band // MILLION
    return index - away, index + away


def any_beyond(market: Market, prices: Iterable[int], index: int) -> bool:
    """Whether one of `prices` is outside of the trading range."""
    lowest, highest = trading_range(market, index)
    return not all(lowest <= price <= highest for price in prices)
