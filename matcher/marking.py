"""The mark that comes with a new index price: what is known of the market's price then, in one durable record. Changes nothing."""

from core.events import MarkUpdated
from core.mark_price import BASIS_WINDOW, Basis, followed, index_with_basis, mark_price, price_of_quotes
from core.market import MarketStatus
from core.quantities import Nanos, Ticks
from matcher.book import Ladder
from matcher.state import Exchange


def mark_updated(state: Exchange, market: int, index: int, at: int) -> MarkUpdated | None:
    """The market's mark at an index price (ticks) that comes now, or None when the mark is the index itself.

    It is made with every index price and stands until the next, so replay needs no quotes, which are not in the journal. Mids outside
    of this network are no view yet, so both others must be there.
    """
    bid, ask = _best(state.book.bids[market], at), _best(state.book.asks[market], at)
    if bid is None or ask is None:
        return None
    basis = _basis(state, market, bid, ask, index, at)
    with_basis = index_with_basis(index, basis, at)
    of_quotes = price_of_quotes(bid, ask, state.last_prices.get(market))
    mark = mark_price(Ticks(index), with_basis, of_quotes, None)
    if mark.reduce_only or with_basis is None or of_quotes is None:
        return None
    return MarkUpdated(at, market, mark.price, with_basis, of_quotes, basis.average)


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
