"""Requests, answers, accepts and cancels: what each leads to."""

from collections.abc import Sequence
from typing import Final

from core import events as e
from core.bands import within_band
from core.market import MarketStatus
from core.validity import Action
from matcher import commands as c
from matcher.account import Account
from matcher.asking import makers_asked
from matcher.book import Request
from matcher.closing import answered_offers, cancelled, close_request, closed, standing_offers
from matcher.exiting import leaving_of
from matcher.exposure import backed, held_back, reducible, refused_at_mark
from matcher.fills import Planner
from matcher.keys import first_answer, no_room_for_key, room_beyond
from matcher.limits import (
    KEY_LENGTH_MAX,
    PRICE_MAX,
    QUOTE_LIFE_MAX,
    REQUESTS_OPEN_MAX,
    SIZE_MAX,
    TTL_CLASSES,
)
from matcher.marking import only_reduces
from matcher.rejections import BEING_LIQUIDATED, SUB_ACCOUNT_MARKET, Code, Outcome, Rejection, Repeated
from matcher.state import Exchange
from matcher.trust import untrusted

_TTL_BITS: Final = {ttl: number << 4 for number, ttl in enumerate(TTL_CLASSES)}


def packed_terms(command: c.OpenRequest) -> int:
    """The terms that a final answer does not spell out, packed into one 64-bit integer without loss."""
    flags = command.auto | command.all_or_none << 1 | command.reduce_only << 2 | command.show_side << 3
    return command.limit << 6 | _TTL_BITS[command.ttl] | flags


def open_request(state: Exchange, command: c.OpenRequest, at: int) -> Outcome:
    """Fill at once on standing quotes when they fill it whole, else ask the makers."""
    bad = _bad_request(state, command)
    if bad is not None:
        return bad
    account = state.accounts[command.account]
    if account.market and account.market != command.market:
        return SUB_ACCOUNT_MARKET
    first = first_answer(state, account, command.key)
    if first is not None:
        return _repeated(command, first)
    if account.id in state.liquidations:
        return BEING_LIQUIDATED
    refused = not_tradable(state, command.market, at) or _refused(state, account, command, at)
    if refused is not None:
        return refused
    best = state.book.ladder(command.market, command.side).best()
    if command.auto and best is not None and (best.price - command.limit) * command.side <= 0:
        terms = opened(state, command, (), at)
        whole = Planner(state, terms, at).plan(standing_offers(state, terms), whole=True)
        if whole.filled == command.size:
            return closed(state, terms, whole, at)
        return _ask_makers(state, account, command, whole.events, at)
    return _ask_makers(state, account, command, (), at)


def _ask_makers(
    state: Exchange, account: Account, command: c.OpenRequest, hollow: Sequence[e.Event], at: int
) -> Outcome:
    """Open the request; `hollow` takes away the standing levels that were found not to hold."""
    code = refused_at_mark(state, account, command.market, command.side * command.size, at)
    if code is not None:
        return not_affordable(state, account, code, at)
    makers = makers_asked(state, account.owner, command.market, command.size, at)
    terms = opened(state, command, tuple(makers), at)
    if not makers and command.auto:
        plan = Planner(state, terms, at).plan(standing_offers(state, terms), command.all_or_none)
        return closed(state, terms, plan, at)
    return [terms, *hollow]


def opened(state: Exchange, command: c.OpenRequest, makers: tuple[int, ...], at: int) -> e.RequestOpened:
    return e.RequestOpened(
        at,
        state.book.next_id,
        command.account,
        command.key,
        packed_terms(command),
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


def _repeated(command: c.OpenRequest, answer: e.RequestOpened | e.RequestClosed) -> Repeated | Rejection:
    if (answer.market, answer.side, answer.size, answer.terms) != (
        command.market,
        command.side,
        command.size,
        packed_terms(command),
    ):
        return Rejection(Code.KEY_CONFLICT, "That client id was used for another request.")
    return Repeated((answer,))


def not_tradable(state: Exchange, market: int, at: int) -> Rejection | None:
    """Why nothing may fill in a market now, or None."""
    return _why_not_tradable(state, market, at) if at > state.fills_until[market] else None


def _why_not_tradable(state: Exchange, market: int, at: int) -> Rejection:
    """The first reason that applies: the market is settled or paused, or its index is not believed enough to trade at."""
    if state.statuses[market] == MarketStatus.SETTLED:
        return Rejection(Code.MARKET_SETTLED, "The market was delisted.")
    ending = state.breakers.announced.get(market)
    if ending is not None and at >= ending.settles_at:
        return Rejection(Code.MARKET_PAUSED, "The market takes nothing more: it is being delisted.")
    refused = untrusted(state, (market,), Action.FILL, at)
    if refused is None or state.statuses[market] == MarketStatus.PAUSED:
        return Rejection(Code.MARKET_PAUSED, "The market is paused.")
    return refused


def not_affordable(state: Exchange, account: Account, code: Code, at: int) -> Rejection:
    """The refusal of a trade whose `code` is about the account's means; where these are not known, it names what can not be valued."""
    refused = None
    if code is Code.INDEX_UNAVAILABLE:
        refused = untrusted(state, account.positions, Action.MARGIN, at)
    return refused or Rejection(code, _SENTENCES[code])


def _refused(state: Exchange, account: Account, command: c.OpenRequest, at: int) -> Rejection | None:
    change = command.side * command.size
    refused = _increases(state, account, command.market, change, command.reduce_only)
    if refused is not None:
        return refused
    if len(state.book.open_keys.get(command.account, ())) >= REQUESTS_OPEN_MAX:
        return Rejection(Code.TOO_MANY_REQUESTS_OPEN, f"At most {REQUESTS_OPEN_MAX} requests may be open.")
    full = no_room_for_key(state, account, at)
    if full is not None and _shrinks(account, command.market, change) and room_beyond(account, at):
        return None
    return full


def _increases(
    state: Exchange, account: Account, market: int, change: int, reduce_only: bool
) -> Rejection | None:
    """The refusal of a request for `change` lots (signed) that is to reduce, by its own terms or the market's, and does not only."""
    if reduce_only and not _shrinks(account, market, change):
        return Rejection(Code.REDUCE_ONLY_WOULD_INCREASE, _SENTENCES[Code.REDUCE_ONLY_WOULD_INCREASE])
    return would_open(state, account, market, change)


def would_open(state: Exchange, account: Account, market: int, change: int) -> Rejection | None:
    """The refusal of a taker's `change` lots (signed) that do not only shrink its position in a market that only reduces, or None."""
    if only_reduces(state, market) and not _shrinks(account, market, change):
        return Rejection(Code.MARKET_REDUCE_ONLY, _SENTENCES[Code.MARKET_REDUCE_ONLY])
    return None


def _shrinks(account: Account, market: int, change: int) -> bool:
    held = account.positions.get(market)
    return held is not None and reducible(held.size, change) >= abs(change)


def answer_request(state: Exchange, command: c.AnswerRequest, at: int) -> Outcome:
    """Take a maker's quote; the request closes when it is automatic and every asked maker has spoken."""
    book, account = state.book, command.account
    request = book.requests.get(command.request)
    if request is None or request.opened.expires <= at:
        return Rejection(Code.REQUEST_UNKNOWN, "No such request is open.")
    terms, waiting, maker = request.opened, request.waiting, state.accounts[account]
    market = terms.market
    bid, ask, size, expires = command.bid, command.ask, command.size, command.expires
    now = state.conditions[market]
    spare = maker.balance + maker.gain - maker.required
    if state.exits or state.loss_limits:
        spare -= held_back(maker, leaving_of(state, maker), state.reach_of(maker))
    # Most makers quote around the mark with money to spare: asking rule by rule about each would cost half an answer.
    plain = (
        account in waiting
        and not state.ends
        and (now.lowest <= bid <= now.safe_bid or not bid)
        and (now.safe_ask <= ask <= now.highest or not ask)
        and bid != ask
        and 0 < command.min_fill <= size <= SIZE_MAX
        and at < expires <= at + QUOTE_LIFE_MAX
        and at <= state.fills_until[market]
        and at <= state.values_until
        and maker.valued == state.marked
        and spare >= size * now.most_per_lot
        and account not in state.liquidations
        and (not book.frozen or book.frozen.get((account, market), 0) <= at)
    )
    if not plain:
        refused = answer_refused(state, request, command, at)
        if refused is not None:
            return refused
    given = e.QuoteGiven(
        at, book.next_id, terms.request, account, bid, ask, size, command.min_fill, expires, now.index
    )
    if len(waiting) > 1 or not terms.auto or not _all_spoke(request, account):
        return [given]
    answers = {**request.answers, account: given}
    return [given, *close_request(state, request, at, answers.values())]


def answer_refused(state: Exchange, request: Request, command: c.AnswerRequest, at: int) -> Rejection | None:
    """Why a maker's quote for an open request is not taken, or None: the first reason that applies."""
    account, terms = command.account, request.opened
    market = terms.market
    if account in state.liquidations:
        return BEING_LIQUIDATED
    if account not in request.waiting and account not in terms.makers:
        return Rejection(Code.NOT_ASKED, "This account was not asked for a quote.")
    bid, ask, size = command.bid, command.ask, command.size
    if not 0 <= bid < ask <= PRICE_MAX and not (ask == 0 < bid <= PRICE_MAX):
        if 0 < ask <= bid <= PRICE_MAX:
            return Rejection(Code.BAD_VALUE, "The bid must be below the ask.")
        return Rejection(Code.BAD_VALUE, "A quote names a positive bid, a positive ask, or both.")
    if not 0 < command.min_fill <= size <= SIZE_MAX:
        return Rejection(Code.BAD_VALUE, "Sizes must be positive, the minimum fill at most the size.")
    if not at < command.expires <= at + QUOTE_LIFE_MAX:
        return Rejection(Code.BAD_VALUE, "A quote's expiry lies ahead, at most a minute.")
    if state.book.frozen.get((account, market), 0) > at:
        return Rejection(Code.MAKER_FROZEN, "Maker protection froze this account in the market.")
    if at > state.fills_until[market]:
        return _why_not_tradable(state, market, at)
    now = state.conditions[market]
    if terms.key and any(price and not now.lowest <= price <= now.highest for price in (bid, ask)):
        return OUT_OF_BAND
    maker, bids, asks = state.accounts[account], ((bid, size),) if bid else (), ((ask, size),) if ask else ()
    code = backed(state, maker, market, bids, asks, at)
    return not_affordable(state, maker, code, at) if code is not None else None


def _all_spoke(request: Request, account: int) -> bool:
    """Whether no asked maker but perhaps `account` is still waited for."""
    waiting = request.waiting
    return not waiting or (len(waiting) == 1 and account in waiting)


def pass_request(state: Exchange, command: c.PassRequest, at: int) -> Outcome:
    """Take note that a maker will not quote, or withdraws; the request closes when every other asked maker has spoken."""
    request = state.book.requests.get(command.request)
    if request is None or command.account not in request.opened.makers:
        return Rejection(Code.REQUEST_UNKNOWN, "No such request is open for this account.")
    passed = e.MakerPassed(at, command.request, command.account)
    if not request.opened.auto or not _all_spoke(request, command.account):
        return [passed]
    others = [answer for id, answer in request.answers.items() if id != command.account]
    return [passed, *close_request(state, request, at, others)]


def accept_quote(state: Exchange, command: c.AcceptQuote, at: int) -> Outcome:
    """Fill a request with the quote that its trader chose; firm, so only margin, caps, band and expiry can stop it."""
    final = state.accounts[command.account].closed.get(command.request)
    if final is not None:
        return Repeated((final,))
    request = state.book.requests.get(command.request)
    if request is None or request.opened.account != command.account or not request.opened.key:
        return Rejection(Code.REQUEST_UNKNOWN, "This account has no such request open.")
    terms = request.opened
    if terms.expires <= at:
        return Rejection(Code.REQUEST_UNKNOWN, "The request has expired.")
    answer = next((answer for answer in request.answers.values() if answer.quote == command.quote), None)
    price = 0 if answer is None else answer.ask if terms.side > 0 else answer.bid
    if answer is None or price == 0:
        return Rejection(Code.QUOTE_UNKNOWN, "No such quote stands for this request.")
    if answer.expires <= at:
        return Rejection(Code.QUOTE_EXPIRED, "The quote has expired.")
    if (price - terms.limit) * terms.side > 0:
        return Rejection(Code.QUOTE_BEYOND_LIMIT, "The quote is beyond the request's limit.")
    refused = not_tradable(state, terms.market, at)
    if refused is not None:
        return refused
    if not within_band(state.markets[terms.market], answer.index, state.indexes[terms.market].price):
        return [
            e.QuoteRejected(
                at, answer.account, terms.request, answer.quote, terms.market, Code.QUOTE_OUT_OF_BAND
            )
        ]
    plan = Planner(state, terms, at).plan(answered_offers(state, terms, (answer,)), terms.all_or_none)
    if plan.code is not None and not plan.filled:
        return not_affordable(state, state.accounts[command.account], plan.code, at)
    if not plan.filled:
        change, account = terms.side * terms.size, state.accounts[command.account]
        return (
            list(plan.events)
            or _increases(state, account, terms.market, change, terms.reduce_only)
            or Rejection(Code.QUOTE_UNKNOWN, "The quote does not fit the request's size.")
        )
    return closed(state, terms, plan, at)


def cancel_request(state: Exchange, command: c.CancelRequest, at: int) -> Outcome:
    request = state.book.requests.get(command.request)
    if request is None or request.opened.account != command.account or not request.opened.key:
        final = state.accounts[command.account].closed.get(command.request)
        if final is not None:
            return Repeated((final,))
        return Rejection(Code.REQUEST_UNKNOWN, "This account has no such request open.")
    return [cancelled(request, at)]


def cancel_quote(state: Exchange, command: c.CancelQuote, at: int) -> Outcome:
    request = state.book.requests.get(command.request)
    if request is None or command.account not in request.answers:
        return Rejection(Code.QUOTE_UNKNOWN, "This account has no quote for that request.")
    return [e.QuoteWithdrawn(at, command.request, command.account, "cancelled")]


OUT_OF_BAND: Final = Rejection(
    Code.PRICE_OUT_OF_BAND, "The price is further from the index than the market lets anybody trade."
)

_SENTENCES: Final = {
    Code.INSUFFICIENT_MARGIN: "The account's equity would not cover the initial requirement.",
    Code.LOSS_LIMIT_REACHED: "The owner's loss limit on chain lets settlement take too little to back that trade.",
    Code.POSITION_CAP: "What the owner's accounts hold on that side would exceed the market's cap.",
    Code.OPEN_INTEREST_CAP: "The market's open interest would exceed its cap.",
    Code.MARKET_REDUCE_ONLY: "The market only takes requests that reduce a position.",
    Code.REDUCE_ONLY_WOULD_INCREASE: "Reduce-only: the request is larger than the position.",
}
