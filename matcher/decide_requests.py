"""Requests, answers, accepts and cancels: what each leads to."""

from collections.abc import Iterable

from core import events as e
from core.events import Event, RequestOutcome
from core.market import MarketStatus
from core.quantities import MILLION
from matcher import commands as c
from matcher.book import Answer, Request
from matcher.fills import Offer, Plan, Planner, Terms, protect_makers, reducible, within_band
from matcher.limits import (
    CONFIDENCE_MAX,
    KEY_LENGTH_MAX,
    PRICE_MAX,
    QUOTE_LIFE_MAX,
    REQUESTS_OPEN_MAX,
    SIZE_MAX,
    TTL_CLASSES,
)
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Account, Exchange


def packed_terms(command: c.OpenRequest) -> int:
    """The terms that a final answer does not spell out, packed into one 64-bit integer without loss."""
    flags = command.auto | command.all_or_none << 1 | command.reduce_only << 2 | command.show_side << 3
    return command.limit << 6 | TTL_CLASSES.index(command.ttl) << 4 | flags


def open_request(state: Exchange, command: c.OpenRequest, at: int) -> Outcome:
    """Fill at once on standing quotes when they fill it whole, else ask the makers."""
    bad = _bad_request(state, command)
    if bad is not None:
        return bad
    account = state.accounts[command.account]
    repeated = _repeated(state, account, command)
    if repeated is not None:
        return repeated
    refused = tradable(state, command.market, at) or _refused(state, account, command)
    if refused is not None:
        return refused
    id = state.book.next_id
    terms = Terms(
        id,
        command.account,
        command.market,
        command.side,
        command.size,
        command.limit,
        command.all_or_none,
        command.reduce_only,
    )
    if command.auto:
        whole = Planner(state, terms._replace(all_or_none=True), at).plan(standing_offers(state, terms))
        if whole.filled == command.size:
            return _closed(state, terms, command.key, packed_terms(command), whole, at)
    return _ask_makers(state, account, command, terms, at)


def _ask_makers(state: Exchange, account: Account, command: c.OpenRequest, terms: Terms, at: int) -> Outcome:
    affordable = Planner(state, terms, at).taker.trade(
        command.side * command.size,
        state.markets[command.market],
        state.indexes[command.market].price,
        state.indexes[command.market].price,
        0,
    )
    if isinstance(affordable, Code):
        return Rejection(affordable, _SENTENCES[affordable])
    frozen = state.book.frozen
    makers = tuple(
        maker
        for maker in sorted(state.book.makers[command.market])
        if state.accounts[maker].owner != account.owner and frozen.get((maker, command.market), 0) <= at
    )
    packed = packed_terms(command)
    if not makers and command.auto:
        plan = Planner(state, terms, at).plan(standing_offers(state, terms))
        return _closed(state, terms, command.key, packed, plan, at)
    return [
        e.RequestOpened(
            at,
            terms.request,
            command.account,
            command.key,
            packed,
            command.market,
            command.side,
            command.size,
            command.limit,
            at + command.ttl,
            command.auto,
            command.all_or_none,
            command.reduce_only,
            command.show_side,
            makers,
        )
    ]


def _bad_request(state: Exchange, command: c.OpenRequest) -> Rejection | None:
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    if command.side not in (1, -1):
        return Rejection(Code.BAD_VALUE, "A side is 1 (buy) or -1 (sell).")
    if not 0 < command.size <= SIZE_MAX or not 0 < command.limit <= PRICE_MAX:
        return Rejection(Code.BAD_VALUE, "Size and limit must be positive and within the market's range.")
    if command.ttl not in TTL_CLASSES:
        return Rejection(Code.BAD_VALUE, "A request lives 250 ms, 1 s or 5 s.")
    if not 0 < len(command.key) <= KEY_LENGTH_MAX:
        return Rejection(Code.BAD_VALUE, f"A client id has 1 to {KEY_LENGTH_MAX} characters.")
    return None


def _repeated(state: Exchange, account: Account, command: c.OpenRequest) -> Repeated | Rejection | None:
    open_id = state.book.open_keys.get((command.account, command.key))
    if open_id is not None:
        request = state.book.requests[open_id]
        same = (request.market, request.side, request.size, request.terms)
        answer: tuple[Event, ...] = (_opened_again(request),)
    else:
        closed = account.closed.get(account.keys.get(command.key, 0))
        if closed is None:
            return None
        same = (closed.market, closed.side, closed.size, closed.terms)
        answer = (closed,)
    if same != (command.market, command.side, command.size, packed_terms(command)):
        return Rejection(Code.KEY_CONFLICT, "That client id was used for another request.")
    return Repeated(answer)


def _opened_again(request: Request) -> e.RequestOpened:
    return e.RequestOpened(
        request.at,
        request.id,
        request.account,
        request.key,
        request.terms,
        request.market,
        request.side,
        request.size,
        request.limit,
        request.expires,
        request.auto,
        request.all_or_none,
        request.reduce_only,
        request.show_side,
        request.asked,
    )


def tradable(state: Exchange, market: int, at: int) -> Rejection | None:
    """Why nothing may fill in a market now: it is paused, or its index is missing, old or uncertain."""
    if state.statuses[market] == MarketStatus.PAUSED:
        return Rejection(Code.MARKET_PAUSED, "The market is paused.")
    index = state.indexes.get(market)
    if index is None or at - index.published > state.markets[market].index_max_age:
        return Rejection(Code.INDEX_UNAVAILABLE, "The market has no fresh index price.")
    if index.confidence * MILLION > CONFIDENCE_MAX * index.price:
        return Rejection(Code.INDEX_UNAVAILABLE, "The market's index price is too uncertain.")
    return None


def _refused(state: Exchange, account: Account, command: c.OpenRequest) -> Rejection | None:
    held = account.positions.get(command.market)
    shrinks = reducible(held.size if held is not None else 0, command.side) >= command.size
    if command.reduce_only and not shrinks:
        return Rejection(
            Code.REDUCE_ONLY_WOULD_INCREASE, "Reduce-only: the request is larger than the position."
        )
    if state.statuses[command.market] == MarketStatus.REDUCE_ONLY and not shrinks:
        return Rejection(Code.MARKET_REDUCE_ONLY, "The market only takes requests that reduce a position.")
    if len(state.book.requests_of.get(command.account, ())) >= REQUESTS_OPEN_MAX:
        return Rejection(Code.TOO_MANY_REQUESTS_OPEN, f"At most {REQUESTS_OPEN_MAX} requests may be open.")
    return None


def standing_offers(state: Exchange, terms: Terms) -> list[Offer]:
    """Standing quotes within the limit, best first."""
    offers = []
    accounts = state.accounts
    side = terms.side
    for level in state.book.ladder(terms.market, side):
        if (level.price - terms.limit) * side > 0:
            break
        tier = accounts[level.account].tier
        rank = (level.price * side, 1, -tier, level.id)
        offers.append(
            Offer(rank, level.id, level.account, level.price, level.size, 1, level.expires, level.index, True)
        )
    return offers


def answered_offer(state: Exchange, terms: Terms, answer: Answer) -> Offer | None:
    """A maker's answer as an offer to this side, or None when it does not quote it. All-or-none outranks partial."""
    price = answer.ask if terms.side > 0 else answer.bid
    if price == 0:
        return None
    partial = answer.min_fill < answer.size
    rank = (price * terms.side, int(partial), -state.accounts[answer.account].tier, answer.id)
    return Offer(
        rank,
        answer.id,
        answer.account,
        price,
        answer.size,
        answer.min_fill,
        answer.expires,
        answer.index,
        False,
    )


def terms_of(request: Request) -> Terms:
    return Terms(
        request.id,
        request.account,
        request.market,
        request.side,
        request.size,
        request.limit,
        request.all_or_none,
        request.reduce_only,
    )


def close_request(state: Exchange, request: Request, at: int, answers: Iterable[Answer]) -> list[Event]:
    """Fill an automatic request with the best of `answers` and of the standing quotes; any other request just ends."""
    terms = terms_of(request)
    if not request.auto or tradable(state, request.market, at) is not None:
        return _closed(state, terms, request.key, request.terms, Plan([], (), 0, 0, None), at)
    offers = standing_offers(state, terms)
    for answer in answers:
        offer = answered_offer(state, terms, answer)
        if offer is not None and (offer.price - terms.limit) * terms.side <= 0:
            offers.append(offer)
    offers.sort()
    return _closed(state, terms, request.key, request.terms, Planner(state, terms, at).plan(offers), at)


def _closed(state: Exchange, terms: Terms, key: str, packed: int, plan: Plan, at: int) -> list[Event]:
    if plan.filled == terms.size:
        outcome: str = RequestOutcome.FILLED
    elif plan.filled:
        outcome = RequestOutcome.PARTIAL
    else:
        outcome = plan.code or RequestOutcome.UNFILLED
    closed = e.RequestClosed(
        at,
        terms.request,
        terms.account,
        key,
        packed,
        terms.market,
        terms.side,
        terms.size,
        plan.filled,
        plan.value,
        str(outcome),
        plan.fills,
    )
    return [*plan.events, closed, *protect_makers(state, plan.events, at)]


def answer_request(state: Exchange, command: c.AnswerRequest, at: int) -> Outcome:
    """Take a maker's quote; the request closes when it is automatic and every asked maker has spoken."""
    request = state.book.requests.get(command.request)
    if request is None or request.expires <= at:
        return Rejection(Code.REQUEST_UNKNOWN, "No such request is open.")
    if command.account not in request.asked:
        return Rejection(Code.NOT_ASKED, "This account was not asked for a quote.")
    bad = _bad_answer(command, at)
    if bad is not None:
        return bad
    if state.book.frozen.get((command.account, request.market), 0) > at:
        return Rejection(Code.MAKER_FROZEN, "Maker protection froze this account in the market.")
    refused = tradable(state, request.market, at)
    if refused is not None:
        return refused
    index = state.indexes[request.market].price
    given = e.QuoteGiven(
        at,
        state.book.next_id,
        request.id,
        command.account,
        command.bid,
        command.ask,
        command.size,
        command.min_fill,
        command.expires,
        index,
    )
    if not request.auto or request.waiting - {command.account}:
        return [given]
    answer = Answer(
        given.quote,
        command.account,
        command.bid,
        command.ask,
        command.size,
        command.min_fill,
        command.expires,
        index,
        at,
    )
    return [
        given,
        *close_request(state, request, at, [*_answers_of_others(request, command.account), answer]),
    ]


def _answers_of_others(request: Request, account: int) -> list[Answer]:
    return [answer for id, answer in request.answers.items() if id != account]


def _bad_answer(command: c.AnswerRequest, at: int) -> Rejection | None:
    bid, ask = command.bid, command.ask
    if not 0 <= bid <= PRICE_MAX or not 0 <= ask <= PRICE_MAX or not (bid or ask):
        return Rejection(Code.BAD_VALUE, "A quote names a positive bid, a positive ask, or both.")
    if bid and ask and bid >= ask:
        return Rejection(Code.BAD_VALUE, "The bid must be below the ask.")
    if not 0 < command.min_fill <= command.size <= SIZE_MAX:
        return Rejection(Code.BAD_VALUE, "Sizes must be positive, the minimum fill at most the size.")
    if not at < command.expires <= at + QUOTE_LIFE_MAX:
        return Rejection(Code.BAD_VALUE, "A quote's expiry lies ahead, at most a minute.")
    return None


def pass_request(state: Exchange, command: c.PassRequest, at: int) -> Outcome:
    """Take note that a maker will not quote, or withdraws; the request closes when every other asked maker has spoken."""
    request = state.book.requests.get(command.request)
    if request is None or command.account not in request.asked:
        return Rejection(Code.REQUEST_UNKNOWN, "No such request is open for this account.")
    passed = e.MakerPassed(at, request.id, command.account)
    if not request.auto or request.waiting - {command.account}:
        return [passed]
    return [passed, *close_request(state, request, at, _answers_of_others(request, command.account))]


def accept_quote(state: Exchange, command: c.AcceptQuote, at: int) -> Outcome:
    """Fill a request with the quote that its trader chose; firm, so only margin, caps, band and expiry can stop it."""
    account = state.accounts[command.account]
    closed = account.closed.get(command.request)
    if closed is not None:
        return Repeated((closed,))
    request = state.book.requests.get(command.request)
    if request is None or request.account != command.account:
        return Rejection(Code.REQUEST_UNKNOWN, "This account has no such request open.")
    if request.expires <= at:
        return Rejection(Code.REQUEST_UNKNOWN, "The request has expired.")
    answer = next((answer for answer in request.answers.values() if answer.id == command.quote), None)
    terms = terms_of(request)
    offer = answered_offer(state, terms, answer) if answer is not None else None
    if offer is None:
        return Rejection(Code.QUOTE_UNKNOWN, "No such quote stands for this request.")
    if offer.expires <= at:
        return Rejection(Code.QUOTE_EXPIRED, "The quote has expired.")
    if (offer.price - terms.limit) * terms.side > 0:
        return Rejection(Code.QUOTE_BEYOND_LIMIT, "The quote is beyond the request's limit.")
    refused = tradable(state, request.market, at)
    if refused is not None:
        return refused
    if not within_band(state.markets[request.market], offer.given_index, state.indexes[request.market].price):
        return [
            e.QuoteRejected(
                at, offer.account, request.id, offer.quote, request.market, Code.QUOTE_OUT_OF_BAND
            )
        ]
    plan = Planner(state, terms, at).plan([offer])
    if plan.code is not None:
        return Rejection(plan.code, _SENTENCES[plan.code])
    if not plan.filled:
        return plan.events or Rejection(Code.QUOTE_UNKNOWN, "The quote does not fit the request's size.")
    return _closed(state, terms, request.key, request.terms, plan, at)


def cancel_request(state: Exchange, command: c.CancelRequest, at: int) -> Outcome:
    request = state.book.requests.get(command.request)
    if request is None or request.account != command.account:
        closed = state.accounts[command.account].closed.get(command.request)
        if closed is not None:
            return Repeated((closed,))
        return Rejection(Code.REQUEST_UNKNOWN, "This account has no such request open.")
    return [cancelled(request, at)]


def cancelled(request: Request, at: int) -> e.RequestClosed:
    return e.RequestClosed(
        at,
        request.id,
        request.account,
        request.key,
        request.terms,
        request.market,
        request.side,
        request.size,
        0,
        0,
        RequestOutcome.CANCELLED.value,
        (),
    )


def cancel_quote(state: Exchange, command: c.CancelQuote, at: int) -> Outcome:
    request = state.book.requests.get(command.request)
    if request is None or command.account not in request.answers:
        return Rejection(Code.QUOTE_UNKNOWN, "This account has no quote for that request.")
    return [e.QuoteWithdrawn(at, request.id, command.account, "cancelled")]


_SENTENCES = {
    Code.INSUFFICIENT_MARGIN: "The account's equity would not cover the initial requirement.",
    Code.POSITION_CAP: "The owner's position would exceed the market's cap.",
    Code.OPEN_INTEREST_CAP: "The market's open interest would exceed its cap.",
}
