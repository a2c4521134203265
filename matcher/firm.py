"""The standing quotes that a taker could really trade against now: what marks and premiums are made of. Changes nothing."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from core.bands import trading_range, within_band
from core.depth import Firm
from core.premium import impact_notional
from matcher.exposure import Exposure, Sides, exposure
from matcher.state import Exchange

LEVELS_LOOKED_MAX: Final = 1_000
"""Levels of a side that are looked at, the best first."""
DUST: Final = 100
"""A level that holds less than this part of the depth says nothing, and costs nobody a look at its maker's margin."""


def firm(state: Exchange, market: int, side: int, index: int, at: int) -> Iterator[Firm]:
    """What a taker of `side` could trade against at `at` with the index at `index`, best first.

    Judged as a fill judges it: in time, in band, not frozen, and affordable to the maker beside all its better levels.
    """
    listed, mark = state.markets[market], state.marks.get(market)
    if mark is None:
        return
    tick_value, frozen = listed.value_per_tick_lot, state.book.frozen
    dust = depth_notional(state, market) // DUST
    lowest, highest = trading_range(listed, index)
    makers: dict[int, Exposure] = {}
    owners: dict[str, Sides] = {}
    for level in islice(state.book.ladder(market, side), LEVELS_LOOKED_MAX):
        if level.expires <= at or level.price * level.size * tick_value < dust:
            continue
        if not lowest <= level.price <= highest or not within_band(listed, level.index, index):
            continue
        if frozen and frozen.get((level.account, market), 0) > at:
            continue
        maker = makers.get(level.account)
        if maker is None:
            account = state.accounts[level.account]
            maker = makers[level.account] = exposure(state, account, market, owners, at)
        change, value_per_lot = -side * level.size, level.price * tick_value
        if maker.refusal(change, value_per_lot, 0, listed, mark) is None:
            maker.take(change, value_per_lot, 0, mark)
            yield Firm(level.price, level.size, level.account, maker.account.owner)


def depth_notional(state: Exchange, market: int) -> int:
    """Micro-USDC that a side's quotes must hold to say a price: what a premium is asked for."""
    return impact_notional(state.markets[market].margin_terms.tiers[0].initial)
