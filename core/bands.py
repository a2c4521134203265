"""How far prices may be from the index: of a quote that has stood for a while, and of any trade."""

from core.market import Market
from core.quantities import MILLION


def within_band(market: Market, given: int, now: int) -> bool:
    """Whether the index moved no further than the market's band since a quote was given."""
    return abs(now - given) * MILLION <= market.oracle_band * given


def beyond_band(market: Market, price: int, index: int) -> bool:
    """Whether `price` is further from the index than agents may trade in the market, whoever wants it."""
    return abs(price - index) * MILLION > market.price_band * index
