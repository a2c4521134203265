"""Volatile events into the book of requests and quotes."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from core import events as e
from core.settlement_price import MINUTE, window_end
from matcher.book import (
    DELISTING_DEADLINE,
    PREMIUM_DEADLINE,
    REQUEST_DEADLINE,
    RESUME_DEADLINE,
    STANDING_DEADLINE,
    Level,
    Protection,
    Request,
)
from matcher.state import Exchange

Applier = Callable[[Exchange, Any], None]


def _request_opened(state: Exchange, event: e.RequestOpened) -> None:
    book, request, account = state.book, event.request, event.account
    book.requests[request] = Request(event, book.waited_for(event.makers, event.market), {})
    keys = book.open_keys.get(account)
    if keys is None:
        keys = book.open_keys[account] = {}
    keys[event.key] = request
    book.next_id = request + 1
    heappush(book.deadlines, (event.expires, REQUEST_DEADLINE, request, 0))
    if not event.key and account in state.liquidations:
        going = state.liquidations[account]
        going.request, going.asked, going.limit = request, event.side * event.size, event.limit
        going.decided = state.seq
        state.watch.suspect(account)


def _quote_given(state: Exchange, event: e.QuoteGiven) -> None:
    book, account = state.book, event.account
    request = book.requests[event.request]
    request.waiting.discard(account)
    if book.silences:
        book.spoke(account, request.opened.market)
    request.answers[account] = event
    book.answered_by[account].add(event.request)
    book.next_id = event.quote + 1


def _maker_passed(state: Exchange, event: e.MakerPassed) -> None:
    request = state.book.requests[event.request]
    request.waiting.discard(event.account)
    state.book.spoke(event.account, request.opened.market)
    if request.answers.pop(event.account, None) is not None:
        state.book.answered_by[event.account].discard(event.request)


def _quote_withdrawn(state: Exchange, event: e.QuoteWithdrawn) -> None:
    state.book.requests[event.request].answers.pop(event.account, None)
    state.book.answered_by[event.account].discard(event.request)


def _quotes_set(state: Exchange, event: e.QuotesSet) -> None:
    _pull(state, event.account, event.market)
    book = state.book
    account, market, expires, index = event.account, event.market, event.expires, event.index
    tier = state.accounts[account].tier
    id, sides = event.first, []
    for ladder, levels in ((book.bids[market], event.bids), (book.asks[market], event.asks)):
        sides.append((ladder, range(id, id + len(levels))))
        add = ladder.add
        for price, size in levels:
            add(Level(id, account, tier, price, size, expires, index))
            id += 1
    book.next_id = id
    book.standing[account, market] = sides
    book.stand(account, market, expires)


def _quotes_pulled(state: Exchange, event: e.QuotesPulled) -> None:
    _pull(state, event.account, event.market)


def _pull(state: Exchange, account: int, market: int) -> None:
    for ladder, quotes in state.book.standing.pop((account, market), ()):
        remove = ladder.remove
        for quote in quotes:
            remove(quote)
    state.book.standing_expires.pop((account, market), None)


def _standing_reduced(state: Exchange, event: e.StandingReduced) -> None:
    ladder = state.book.ladder(event.market, event.side)
    if event.left:
        level = ladder.get(event.quote)
        assert level is not None
        level.size = event.left
    else:
        ladder.remove(event.quote)


def _subscribed(state: Exchange, event: e.Subscribed) -> None:
    book, account = state.book, event.account
    book.answered_by.setdefault(account, set())
    for id, makers in book.makers.items():
        if id not in event.markets:
            makers.pop(account, None)
        elif account not in makers:
            makers[account] = state.accounts[account]
            book.makers[id] = dict(sorted(makers.items()))


def _deadline_set(state: Exchange, event: e.DeadlineSet) -> None:
    state.book.switch(event.account, event.deadline)


def _protection_set(state: Exchange, event: e.ProtectionSet) -> None:
    where = (event.account, event.market)
    if event.size:
        state.book.protections[where] = Protection(event.window, event.size, event.net, event.freeze)
    else:
        state.book.protections.pop(where, None)


def _maker_frozen(state: Exchange, event: e.MakerFrozen) -> None:
    where = (event.account, event.market)
    state.book.frozen[where] = event.until
    state.book.protections[where].fills.clear()


def _quote_rejected(state: Exchange, event: e.QuoteRejected) -> None:
    request = state.book.requests.get(event.request)
    answer = request.answers.get(event.account) if request is not None else None
    if request is not None and answer is not None and answer.quote == event.quote:
        del request.answers[event.account]
        state.book.answered_by[event.account].discard(event.request)


def _deadline_passed(state: Exchange, event: e.DeadlinePassed) -> None:
    deadlines = state.book.deadlines
    # What the deadline led to was applied before, and may have removed it.
    if deadlines and deadlines[0] == (event.due, event.kind, event.id, event.market):
        heappop(deadlines)
        if event.kind == STANDING_DEADLINE:
            state.book.stood(event.id, event.market, event.due)
        elif event.kind == RESUME_DEADLINE and event.id in state.liquidations:
            going = state.liquidations[event.id]
            # Of a pause that was cut short, or of an earlier liquidation of the account's, nothing follows.
            if going.until == event.due:
                going.until = 0
                state.watch.suspect(event.id)
        elif event.kind == PREMIUM_DEADLINE:
            state.book.sample(event.market, event.at, event.due)
        elif event.kind == DELISTING_DEADLINE and event.market in state.breakers.announced:
            # It waits; and of an announcement that was taken back another one may have been made since.
            next_minute = window_end(event.at) + MINUTE
            if event.due >= state.breakers.announced[event.market].settles_at:
                heappush(deadlines, (next_minute, DELISTING_DEADLINE, 0, event.market))


BOOK_APPLIERS: Final[dict[type[e.Event], Applier]] = {
    e.RequestOpened: _request_opened,
    e.QuoteGiven: _quote_given,
    e.MakerPassed: _maker_passed,
    e.QuoteWithdrawn: _quote_withdrawn,
    e.QuotesSet: _quotes_set,
    e.QuotesPulled: _quotes_pulled,
    e.StandingReduced: _standing_reduced,
    e.Subscribed: _subscribed,
    e.DeadlineSet: _deadline_set,
    e.ProtectionSet: _protection_set,
    e.MakerFrozen: _maker_frozen,
    e.QuoteRejected: _quote_rejected,
    e.DeadlinePassed: _deadline_passed,
}
