"""The mark that comes with a new index price: what is known of the market's price then, in one durable record. Changes nothing."""

from typing import Final

from core.depth import depth
from core.events import MarkUpdated
from core.margin_terms import maintenance_fraction
from core.mark_price import (
    BASIS_WINDOW,
    VIEWS_MIN,
    Basis,
    basis_bound,
    drifted,
    followed,
    held_near,
    index_with_basis,
    mark_price,
    price_of_quotes,
)
from core.market import Market, MarketStatus
from core.quantities import MILLION, SECOND, Nanos, Ticks, divide_up
from matcher.firm import depth_notional, firm
from matcher.state import Exchange

_REDUCE_ONLY: Final = MarketStatus.REDUCE_ONLY
THIN_AFTER: Final = 30 * SECOND
"""For so long after its last quotes a market is not thin: one large fill must not close it until its makers come back."""


def mark_updated(state: Exchange, market: int, index: int, outside: int, at: int) -> MarkUpdated | None:
    """The market's mark at an index price that comes now with mids outside (ticks, 0 for none), or None when it is the index itself.

    It is made with every index price and stands until the next, so replay needs no quotes, which are not in the journal. Without
    quotes on both sides the basis that they left behind still counts for a while, and what is outside confirms or contradicts it.
    No view counts further from the index than the mark may be, and the mark comes there step by step.
    """
    listed = state.markets[market]
    quoted = depth(
        firm(state, market, -1, index, at),
        firm(state, market, 1, index, at),
        listed.value_per_tick_lot,
        depth_notional(state, market),
    )
    bound, last = _bound(listed, index), _last(state, market, index)
    basis, of_quotes = state.bases.get(market), None
    bid = quoted.bid // MILLION if quoted.bid is not None else 0
    ask = divide_up(quoted.ask, MILLION) if quoted.ask is not None else 0
    if bid and ask:
        near_bid, near_ask = held_near(bid, index, bound), held_near(ask, index, bound)
        of_quotes = price_of_quotes(near_bid, near_ask, last or None)
        basis = _basis(state, market, near_bid, near_ask, index, at)
    with_basis = index_with_basis(index, basis, at) if basis is not None else None
    mark = mark_price(Ticks(index), with_basis, of_quotes, outside or None)
    price = held_near(_on_its_way(state, market, mark.price, index, at), index, bound)
    if mark.reduce_only and price == index:
        return None
    return MarkUpdated(
        at,
        market,
        price,
        with_basis or 0,
        of_quotes or 0,
        basis.average if basis is not None else 0,
        outside,
        bid,
        ask,
        last,
        tuple(sorted(quoted.accounts)),
    )


def _bound(market: Market, index: int) -> int:
    """Ticks that the market's mark may be away from the index."""
    terms = market.margin_terms
    initial = terms.tiers[0].initial
    return basis_bound(index, market.mark, initial, maintenance_fraction(initial, terms.maintenance_share))


def _last(state: Exchange, market: int, index: int) -> int:
    """The last fill's price, or 0 when it is further from the index than a mark may be: two friends print what they like."""
    last = state.last_prices.get(market, 0)
    return last if abs(last - index) <= _bound(state.markets[market], index) else 0


def _on_its_way(state: Exchange, market: int, price: int, index: int, at: int) -> int:
    """How far towards `price` the mark has come since the last index price; the first mark of a market is its index."""
    last = state.indexes.get(market)
    if last is None:
        return index
    basis = state.mark_price(market) - last.price
    return drifted(price, index, basis, at - last.at, state.markets[market].mark)


def _basis(state: Exchange, market: int, bid: int, ask: int, index: int, at: int) -> Basis:
    """The average basis with these quotes in it.

    They weigh by the time since the market was last looked at, with its last index price, not since quotes were last seen: whoever
    comes after a pause would otherwise be the whole average at once. It begins at the index itself, also after a pause of a window.
    """
    last, known = state.indexes.get(market), state.bases.get(market)
    average = known.average if known is not None and at - known.at <= BASIS_WINDOW else 0
    looked = last.at if last is not None else at
    return followed(Basis(average, Nanos(looked)), bid, ask, index, at)


def thin(state: Exchange, market: int) -> bool:
    """Whether fewer than two views of the market's price have been known for longer than makers take to quote again."""
    record, index, basis = state.mark_records.get(market), state.indexes.get(market), state.bases.get(market)
    if record is not None and views(record) >= VIEWS_MIN:
        return False
    return index is None or basis is None or index.at - basis.at > THIN_AFTER


def views(record: MarkUpdated) -> int:
    """How many views of the price the record's mark was made of."""
    return sum(view > 0 for view in (record.with_basis, record.of_quotes, record.outside))


def only_reduces(state: Exchange, market: int) -> bool:
    """Whether the market takes only what reduces: by its status, because too little is known of its price, or because the chain is too
    far behind (`matcher.late`)."""
    if state.statuses[market] is _REDUCE_ONLY or state.custody.late:
        return True
    return state.markets[market].thin_only_reduces and thin(state, market)
