"""How a request ends: the offers for it, ranked, what they fill, and its final answer."""

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter

from core import events as e
from core.events import Event, RequestOpened, RequestOutcome
from matcher.auctions import sliced, still_bounded
from matcher.book import Request
from matcher.fills import Offer, Plan, Planner, nothing_filled, protect_makers
from matcher.gates import open_interest_alarm
from matcher.state import Exchange

_FILLED, _PARTIAL, _UNFILLED, _CANCELLED = (
    outcome.value
    for outcome in (
        RequestOutcome.FILLED,
        RequestOutcome.PARTIAL,
        RequestOutcome.UNFILLED,
        RequestOutcome.CANCELLED,
    )
)


def standing_offers(state: Exchange, terms: RequestOpened) -> Iterator[Offer]:
    """Standing quotes within the limit, best first, each looked up only when it is its turn."""
    side = terms.side
    limit = terms.limit * side
    for level in state.book.ladder(terms.market, side):
        price = level.price * side
        if price > limit:
            return
        yield price, True, -level.tier, level.quote, level


def answered_offers(state: Exchange, terms: RequestOpened, answers: Iterable[e.QuoteGiven]) -> list[Offer]:
    """The answers that quote the request's side within its limit, best first. All-or-none outranks partial."""
    accounts, limit = state.accounts, terms.limit
    offers: list[Offer]
    if terms.side > 0:
        offers = [
            (one.ask, one.min_fill < one.size, -accounts[one.account].tier, one.quote, one)
            for one in answers
            if 0 < one.ask <= limit
        ]
    else:
        offers = [
            (-one.bid, one.min_fill < one.size, -accounts[one.account].tier, one.quote, one)
            for one in answers
            if one.bid >= limit
        ]
    offers.sort()
    return offers


def close_request(state: Exchange, request: Request, at: int, answers: Iterable[e.QuoteGiven]) -> list[Event]:
    """Fill an automatic request with the best of `answers` and of the standing quotes; any other request just ends."""
    terms = request.opened
    if not terms.key:
        terms = still_bounded(state, terms, at)
    if not terms.auto or not terms.limit or at > state.fills_until[terms.market]:
        nothing = nothing_filled(state, terms.market)
        return closed(state, terms, nothing, at) if terms.key else _called_off(state, terms, _CANCELLED, at)
    offers: Iterable[Offer] = answered_offers(state, terms, answers)
    if state.book.ladder(terms.market, terms.side).best() is not None:
        offers = merge(offers, standing_offers(state, terms))
    return closed(state, terms, Planner(state, terms, at).plan(offers, terms.all_or_none), at)


def closed(state: Exchange, terms: RequestOpened, plan: Plan, at: int) -> list[Event]:
    """The plan's events, the request's final answer, what maker protection does about it, and what an auction led to."""
    filled = plan.filled
    if filled == terms.size:
        outcome = _FILLED
    elif filled:
        outcome = _PARTIAL
    else:
        outcome = plan.code.value if plan.code is not None else _UNFILLED
    ended = [*plan.events, _final(terms, at, outcome, filled, plan.value, plan.fills)]
    if state.book.protections:
        ended += protect_makers(state, plan.events, at)
    if not terms.key:
        ended += sliced(state, terms, plan, at)
    if filled:
        ended += open_interest_alarm(state, terms.market, plan.open_interest, at)
    return ended


def _called_off(state: Exchange, terms: RequestOpened, why: str, at: int) -> list[Event]:
    """The end of an auction that no bid could win: that nobody bought says nothing (`auction_closed`)."""
    return [_final(terms, at, why), *sliced(state, terms, nothing_filled(state, terms.market), at)]


def cancelled(request: Request, at: int) -> e.RequestClosed:
    return _final(request.opened, at, _CANCELLED)


def pull_everything(state: Exchange, account: int, why: str, at: int) -> list[Event]:
    """Withdraw every request, answer and standing quote of an account; auctions are the exchange's."""
    book = state.book
    pulled: list[Event] = [
        cancelled(book.requests[id], at)
        for key, id in sorted(book.open_keys.get(account, {}).items(), key=itemgetter(1))
        if key
    ]
    pulled += [e.QuoteWithdrawn(at, id, account, why) for id in sorted(book.answered_by.get(account, ()))]
    pulled += [
        e.QuotesPulled(at, account, market, why)
        for market in state.markets
        if (account, market) in book.standing
    ]
    return pulled


def book_emptied(state: Exchange, market: int, why: str, at: int) -> list[Event]:
    """The end of every request and standing quote of a market: nothing that was meant for the prices before binds anybody after."""
    book = state.book
    ended: list[Event] = []
    for _, request in sorted(book.requests.items()):
        terms = request.opened
        if terms.market == market:
            ended += [_final(terms, at, why)] if terms.key else _called_off(state, terms, why, at)
    standing = sorted(account for account, where in book.standing if where == market)
    return [*ended, *(e.QuotesPulled(at, account, market, why) for account in standing)]


def _final(
    terms: RequestOpened, at: int, outcome: str, filled: int = 0, value: int = 0, fills: tuple[int, ...] = ()
) -> e.RequestClosed:
    return e.RequestClosed(
        at,
        terms.request,
        terms.account,
        terms.key,
        terms.terms,
        terms.market,
        terms.side,
        terms.size,
        filled,
        value,
        outcome,
        fills,
    )
