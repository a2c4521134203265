"""Standing quotes, maker settings, and everything that pulls quotes: cancels, switches and time."""

from typing import Final

from core import events as e
from matcher import commands as c
from matcher.book import (
    DELISTING_DEADLINE,
    PREMIUM_DEADLINE,
    REQUEST_DEADLINE,
    RESUME_DEADLINE,
    STANDING_DEADLINE,
)
from matcher.closing import close_request, pull_everything
from matcher.decide_custody import growth_stopped
from matcher.decide_debts import debt_due
from matcher.decide_delisting import delisting_due
from matcher.decide_exits import exit_matured
from matcher.decide_funding import hour_ended, overdue, premium_sampled
from matcher.decide_liquidation import go_on
from matcher.decide_requests import OUT_OF_BAND, not_affordable, not_tradable
from matcher.exposure import backed
from matcher.limits import (
    PRICE_MAX,
    PROTECTION_WINDOW_MAX,
    QUOTE_LIFE_MAX,
    SIZE_MAX,
    STANDING_LEVELS_MAX,
    SWITCH_MAX,
)
from matcher.rejections import BEING_LIQUIDATED, SUB_ACCOUNT_MARKET, Code, Outcome, Rejection
from matcher.state import Exchange

_BAD_LEVEL: Final = Rejection(Code.BAD_VALUE, "Every level has a positive price and size.")


def set_quotes(state: Exchange, command: c.SetQuotes, at: int) -> Outcome:
    """Replace the account's standing quotes in a market; both sides empty pull them."""
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    if not command.bids and not command.asks:
        return [e.QuotesPulled(at, command.account, command.market, "cancelled")]
    account = state.accounts[command.account]
    if account.market not in (0, command.market):
        return SUB_ACCOUNT_MARKET
    if command.account in state.liquidations:
        return BEING_LIQUIDATED
    prices, sizes = zip(*command.bids, *command.asks, strict=True)
    lowest, highest = min(prices), max(prices)
    within = lowest > 0 and highest <= PRICE_MAX and min(sizes) > 0 and max(sizes) <= SIZE_MAX
    flaw = _flaw(command, within, at)
    if flaw is not None:
        return flaw
    if state.book.frozen.get((command.account, command.market), 0) > at:
        return Rejection(Code.MAKER_FROZEN, "Maker protection froze this account in the market.")
    refused = not_tradable(state, command.market, at)
    if refused is not None:
        return refused
    now = state.conditions[command.market]
    if lowest < now.lowest or highest > now.highest:
        return OUT_OF_BAND
    code = backed(state, account, command.market, command.bids, command.asks, at)
    if code is not None:
        return not_affordable(state, account, code, at)
    return [
        e.QuotesSet(
            at,
            command.account,
            command.market,
            state.book.next_id,
            command.bids,
            command.asks,
            command.expires,
            now.index,
        )
    ]


def _flaw(command: c.SetQuotes, within: bool, at: int) -> Rejection | None:
    """What is wrong with the levels by themselves; `within` says whether all prices and sizes are such as any may be."""
    bids, asks = command.bids, command.asks
    if len(bids) > STANDING_LEVELS_MAX or len(asks) > STANDING_LEVELS_MAX:
        return Rejection(Code.BAD_VALUE, f"At most {STANDING_LEVELS_MAX} levels a side.")
    if not within:
        return _BAD_LEVEL
    if bids and asks and max(bids)[0] >= min(asks)[0]:
        return Rejection(Code.BAD_VALUE, "The best bid must be below the best ask.")
    if not at < command.expires <= at + QUOTE_LIFE_MAX:
        return Rejection(Code.BAD_VALUE, "A quote's expiry lies ahead, at most a minute.")
    return None


def cancel_all(state: Exchange, command: c.CancelAll, at: int) -> Outcome:
    return pull_everything(state, command.account, command.why, at)


def cancel_after(state: Exchange, command: c.CancelAfter, at: int) -> Outcome:
    if command.deadline and not at < command.deadline <= at + SWITCH_MAX:
        return Rejection(Code.BAD_VALUE, "The switch's deadline lies ahead, at most an hour.")
    return [e.DeadlineSet(at, command.account, command.deadline)]


def subscribe(state: Exchange, command: c.Subscribe, at: int) -> Outcome:
    if not all(market in state.markets for market in command.markets):
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    only = state.accounts[command.account].market
    if only and any(market != only for market in command.markets):
        return SUB_ACCOUNT_MARKET
    return [e.Subscribed(at, command.account, command.markets)]


def set_protection(state: Exchange, command: c.SetProtection, at: int) -> Outcome:
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    if state.accounts[command.account].market not in (0, command.market):
        return SUB_ACCOUNT_MARKET
    valid = (
        0 < command.window <= PROTECTION_WINDOW_MAX
        and 0 <= command.size <= SIZE_MAX
        and 0 <= command.net <= (SIZE_MAX if command.size else 0)
        and 0 < command.freeze <= PROTECTION_WINDOW_MAX
    )
    if not valid:
        return Rejection(
            Code.BAD_VALUE,
            "Protection needs a window and a freeze of at most a minute, and sizes in range; a net size only beside a size.",
        )
    return [
        e.ProtectionSet(
            at, command.account, command.market, command.window, command.size, command.net, command.freeze
        )
    ]


def advance(state: Exchange, command: c.Advance, at: int) -> Outcome:
    """Deal with the one earliest deadline that has come; later ones follow in later commands, each seeing the state after it.

    The end of an hour of funding comes first, because it is owed from then on, and what the chain may pay from now on, because it
    backs nothing any more; then whether the chain is too far behind; then what is due for an account in trouble, which
    waits for the look at all others, as one of them may be riskier. A request's deadline
    closes it, a standing quote's pulls it, a dead-man switch pulls everything of its account, a market's next premium is sampled, a
    market whose end was announced is settled.
    """
    book = state.book
    if 0 < state.hour_due <= at:
        return _hours_end(state, at)
    if 0 < state.exit_due() <= at:
        return exit_matured(state, at)
    if 0 < state.late_at() <= at:
        return growth_stopped(state, at)
    watch = state.watch
    watch.look(state)
    if (watch.debtors or watch.due or watch.warned) and watch.holds:
        return []
    if watch.debtors:
        return debt_due(state, at)
    if watch.due or watch.warned:
        return go_on(state, at)
    earliest = book.earliest()
    if earliest is None or earliest[0] > at:
        return []
    due, kind, id, market = earliest
    done = e.DeadlinePassed(at, due, kind, id, market)
    if kind == REQUEST_DEADLINE:
        request = book.requests.get(id)
        return [
            *(close_request(state, request, at, request.answers.values()) if request is not None else ()),
            done,
        ]
    if kind == STANDING_DEADLINE:
        stale = book.standing_expires.get((id, market)) != due
        return [done] if stale else [e.QuotesPulled(at, id, market, "expired"), done]
    if kind == RESUME_DEADLINE:
        return [done]
    if kind == PREMIUM_DEADLINE:
        return [*premium_sampled(state, market, at), done]
    if kind == DELISTING_DEADLINE:
        return [*delisting_due(state, market, at), done]
    return [*pull_everything(state, id, "switch", at), e.DeadlineSet(at, id, 0), done]


def _hours_end(state: Exchange, at: int) -> list[e.Event]:
    """The end of one hour of funding that has no record yet, and the payment of the market's oldest when too many wait."""
    ended = (hour_ended(state, market, at) for market in sorted(state.funding))
    end = next(end for end in ended if end is not None)
    return [*overdue(state, end.market, at), end]
