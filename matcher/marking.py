"""The mark that comes with a new index price: what is known of the market's price then, in one durable record. Changes nothing."""

from core.events import MarkUpdated
from core.mark_price import BASIS_WINDOW, Basis, followed, index_with_basis, mark_price, price_of_quotes
from core.market import MarketStatus
from core.quantities import Nanos, Ticks
from matcher.book import Ladder
from matcher.state import Exchange


def mark_updated(state: Exchange, market: int, index: int, outside: int, at: int) -> MarkUpdated | None:
    """The market's mark at an index price that comes now with mids outside (ticks, 0 for none), or None when it is the index itself.

    It is made with every index price and stands until the next, so replay needs no quotes, which are not in the journal. Without
    quotes on both sides the basis that they left behind still counts for a while, and what is outside confirms or contradicts it.
    """
    bid, ask = _best(state.book.bids[market], at), _best(state.book.asks[market], at)
    of_quotes = price_of_quotes(bid, ask, state.last_prices.get(market))
    basis = state.bases.get(market)
    if bid is not None and ask is not None:
        basis = _basis(state, market, bid, ask, index, at)
    with_basis = index_with_basis(index, basis, at) if basis is not None else None
    mark = mark_price(Ticks(index), with_basis, of_quotes, outside or None)
    if mark.reduce_only or basis is None:
        return None
    return MarkUpdated(at, market, mark.price, with_basis or 0, of_quotes or 0, basis.average, outside)


def _best(ladder: Ladder, at: int) -> int | None:
    """The best price that still stands at `at`."""
    return next((level.price for level in ladder if level.expires > at), None)


def _basis(state: Exchange, market: int, bid: int, ask: int, index: int, at: int) -> Basis:
    """The average basis with these quotes in it.

    They weigh by the time since the market was last looked at, with its last index price, not since quotes were last seen: whoever
    comes after a pause would otherwise be the whole average at once. It begins at the index itself, also after a pause of a window.
    """
    last, known = state.indexes.get(market), state.bases.get(market)
    average = known.average if known is not None and at - known.at <= BASIS_WINDOW else 0
    looked = last.at if last is not None else at
    return followed(Basis(average, Nanos(looked)), bid, ask, index, at)


def only_reduces(state: Exchange, market: int) -> bool:
    """Whether the market takes only what reduces: by its status, or because too little is known of its price."""
    thin = state.markets[market].thin_only_reduces and market not in state.mark_records
    return thin or state.statuses[market] == MarketStatus.REDUCE_ONLY
