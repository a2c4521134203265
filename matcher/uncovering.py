"""Firm quotes that what their account has left does not back: they are withdrawn before anybody trades against them in vain."""

from core import events as e
from core.event import Event
from core.loss_limits import Reach
from matcher.account import Account
from matcher.exposure import Firm, backed
from matcher.state import Exchange


def quotes_uncovered(
    state: Exchange, account: Account, why: str, at: int, leaving: int, reach: Reach | None
) -> list[Event]:
    """The end of the account's standing quotes and answers that are not backed with `leaving` and `reach` as they will be."""
    return [
        *_standing_uncovered(state, account, why, at, leaving, reach),
        *_answers_uncovered(state, account, why, at, leaving, reach),
    ]


def _standing_uncovered(
    state: Exchange, account: Account, why: str, at: int, leaving: int, reach: Reach | None
) -> list[Event]:
    pulled: list[Event] = []
    for market in state.markets:
        bids: list[Firm] = []
        asks: list[Firm] = []
        for ladder, quotes in state.book.standing.get((account.id, market), ()):
            levels = (ladder.get(quote) for quote in quotes)
            side = bids if ladder is state.book.bids[market] else asks
            side += [(level.price, level.size) for level in levels if level is not None]
        if (bids or asks) and backed(state, account, market, bids, asks, at, leaving, reach) is not None:
            pulled.append(e.QuotesPulled(at, account.id, market, why))
    return pulled


def _answers_uncovered(
    state: Exchange, account: Account, why: str, at: int, leaving: int, reach: Reach | None
) -> list[Event]:
    pulled: list[Event] = []
    for id in sorted(state.book.answered_by.get(account.id, ())):
        request = state.book.requests[id]
        given = request.answers[account.id]
        bids, asks = (((price, given.size),) if price else () for price in (given.bid, given.ask))
        if backed(state, account, request.opened.market, bids, asks, at, leaving, reach) is not None:
            pulled.append(e.QuoteWithdrawn(at, id, account.id, why))
    return pulled
