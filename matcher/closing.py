"""How a request ends: the offers for it, ranked, what they fill, and its final answer."""

from collections.abc import Iterable, Iterator
from heapq import merge

from core import events as e
from core.events import Event, RequestOpened, RequestOutcome
from matcher.book import Request
from matcher.fills import Offer, Plan, Planner, protect_makers
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
    if not terms.auto or at > state.fills_until[terms.market]:
        return [_final(terms, at, _UNFILLED)]
    offers: Iterable[Offer] = answered_offers(state, terms, answers)
    if len(state.book.ladder(terms.market, terms.side)):
        offers = merge(offers, standing_offers(state, terms))
    return closed(state, terms, Planner(state, terms, at).plan(offers, terms.all_or_none), at)


def closed(state: Exchange, terms: RequestOpened, plan: Plan, at: int) -> list[Event]:
    """The plan's events, the request's final answer, and what maker protection does about it."""
    filled = plan.filled
    if filled == terms.size:
        outcome = _FILLED
    elif filled:
        outcome = _PARTIAL
    else:
        outcome = plan.code.value if plan.code is not None else _UNFILLED
    final = _final(terms, at, outcome, filled, plan.value, plan.fills)
    return [*plan.events, final, *protect_makers(state, plan.events, at)]


def cancelled(request: Request, at: int) -> e.RequestClosed:
    return _final(request.opened, at, _CANCELLED)


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
