"""What every quote and every fill asks of a market, worked out once for each index and mark."""

import msgspec

from core.account_risk import RiskMark
from core.bands import trading_range
from core.market import Market
from core.quantities import MILLION, divide_up
from matcher.limits import PRICE_MAX


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """A market's index and mark in ticks, and the `lowest` and `highest` price in ticks at which agents may trade while they stand.

    Between `lowest` and `safe_bid`, or `safe_ask` and `highest`, they lose nothing against the mark either; where the mark is out of
    that range itself, no price of one side does both.

    A trade adds at most `most_per_lot` micro-USDC to the initial requirement of an account for each of its lots; rounded up.
    """

    index: int
    mark: int
    lowest: int
    highest: int
    safe_bid: int
    safe_ask: int
    most_per_lot: int


def conditions(listed: Market, index: int, mark: RiskMark) -> Conditions:
    """Those of a market at an index in ticks and a mark. No price is below one tick or above what any may be."""
    range_begins, range_ends = trading_range(listed, index)
    lowest, highest = max(1, range_begins), min(PRICE_MAX, range_ends)
    at_mark = mark.value_per_lot // listed.value_per_tick_lot
    return Conditions(
        index,
        at_mark,
        lowest,
        highest,
        min(at_mark, highest),
        max(at_mark, lowest),
        divide_up(mark.most_required(1), MILLION),
    )
