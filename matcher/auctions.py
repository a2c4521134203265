"""Auctions of liquidated accounts: down to which price, and what came of one. Changes nothing."""

from typing import Final

from msgspec.structs import replace

from core.account_risk import AccountRisk
from core.accounts import INSURANCE
from core.events import Event, RequestOpened
from core.liquidation import Closing, closing
from core.liquidation_events import LiquidationPaused, LiquidationSliced
from core.quantities import divide_up
from matcher.account import Account
from matcher.exiting import must_sell, steps_to_leave
from matcher.fills import Plan
from matcher.selling import Sale, spread_of
from matcher.state import Exchange
from matcher.watch import Liquidation

_ROUNDING: Final = 3
"""Micro-USDC per lot by which auctions are better than their bound: what requirements and values rounded up can make of a part of
the lots, when not all find a bidder."""


def standing(state: Exchange, account: Account) -> AccountRisk:
    """What an account's auctions go by: its margin, or all that it is worth when it is short only of what its owner keeps back; in a
    market's last hour at no more than it would settle at."""
    return state.counted_of(account) if state.offered_first(account) else state.margin_of(account)


def closing_now(state: Exchange, account: Account, market: int, lots: int) -> Closing:
    """Closing `lots` (positive) of the account's position in a market as things stand."""
    risk, size = standing(state, account), account.positions[market].size
    end = state.ends.get(market)
    return closing(state.marks[market], size, lots, risk.equity, risk.maintenance, end)


def limit_of(worst: int, side: int, tick_value: int) -> int:
    """The limit in ticks of an auction that buys (`side` 1) or sells (-1) at `worst` or better, however few lots find a bidder."""
    return max(0, worst - side * divide_up(_ROUNDING, tick_value))


def offered_limit(state: Exchange, account: Account, market: int, lots: int, at: int) -> int:
    """The limit in ticks of an auction of `lots` (positive) of what an account holds that is not being liquidated; 0: none may be.

    It is as far from what the position counts for as the insurance fund's own sale has come by `at`, or as the sale for the owner that
    leaves has (`steps_to_leave`), and never so far that the account would end below zero.
    """
    listed, risk, size = state.markets[market], state.counted_of(account), account.positions[market].size
    terms, end = listed.liquidation, state.ends.get(market)
    if account.id == INSURANCE:
        spread = state.book.sales.get(market, Sale()).spread(terms.spread, at)
    else:
        spread = spread_of(terms.spread, steps_to_leave(state.exits[account.root.id], at))
    terms = replace(terms, spread=spread)
    part = closing(state.marks[market], size, lots, risk.equity, risk.maintenance, end)
    return part.worst_price(terms, listed.value_per_tick_lot, must_close=True)


def still_bounded(state: Exchange, terms: RequestOpened, at: int) -> RequestOpened:
    """An auction's terms at its close: the mark has moved, and its limit with it, where that is better for the account; limit 0: no
    fill may be."""
    account, change = state.accounts[terms.account], terms.side * terms.size
    if account.id in state.liquidations:
        limit = limit_at_close(state, account, terms.market, change, terms.limit)
    else:
        limit = _offer_at_close(state, account, terms.market, change, terms.limit, at)
    return replace(terms, limit=limit)


def _offer_at_close(state: Exchange, account: Account, market: int, change: int, limit: int, at: int) -> int:
    """`limit_at_close` of who is not being liquidated: an owner that leaves sells only what it must."""
    held = account.positions.get(market)
    if held is None or held.size * change >= 0:
        return 0
    if account.id != INSURANCE and not must_sell(state, account, at):
        return 0
    now = offered_limit(state, account, market, min(abs(change), abs(held.size)), at)
    return min(limit, now) if change > 0 else max(limit, now)


def limit_at_close(state: Exchange, account: Account, market: int, change: int, limit: int) -> int:
    """The limit in ticks that holds at the close of an auction of `change` lots (signed) opened at `limit`; 0: no fill may be."""
    held, side = account.positions.get(market), 1 if change > 0 else -1
    if held is None or held.size * side >= 0 or not state.margin_of(account).liquidatable:
        return 0
    listed = state.markets[market]
    part = closing_now(state, account, market, min(abs(change), abs(held.size)))
    worst = part.worst_price(listed.liquidation, listed.value_per_tick_lot, state.offered_first(account))
    return (min if side > 0 else max)(limit, limit_of(worst, side, listed.value_per_tick_lot))


def sliced(state: Exchange, terms: RequestOpened, plan: Plan, at: int) -> list[Event]:
    """What an auction with these fills to come led to, and the pause after one in vain unless the fund is next."""
    going = state.liquidations.get(terms.account)
    if going is None:
        return []
    account, market = state.accounts[terms.account], terms.market
    risk, held = standing(state, account), account.positions.get(market)
    if not going.request:
        going = replace(going, asked=terms.side * terms.size, limit=terms.limit, decided=state.seq)
    record = auction_record(
        state,
        going,
        terms.request,
        market,
        held.size if held is not None else 0,
        (risk.equity, risk.maintenance),
        (terms.side * plan.filled, terms.side * plan.value),
        plan.fills,
        at,
    )
    if plan.filled or state.offered_first(account):
        return [record]
    return [record, LiquidationPaused(at, account.id, at + going.pause())]


def auction_record(
    state: Exchange,
    going: Liquidation,
    request: int,
    market: int,
    held: int,
    worth: tuple[int, int],
    change: tuple[int, int],
    fills: tuple[int, ...],
    at: int,
) -> LiquidationSliced:
    """The record of an auction that asked what `going` says.

    `held` lots and `worth` (equity and maintenance) are from before the fills; `change`, lots and micro-USDC, goes to the account.
    """
    listed, (equity, maintenance), (lots, value) = state.markets[market], worth, change
    terms, bound, fee = listed.liquidation, 0, 0
    if lots:
        end = state.ends.get(market)
        part = closing(state.marks[market], held, abs(lots), equity, maintenance, end)
        bound = part.bankruptcy_value
        fee = (
            part.insurance_delta(-value, terms.fee, terms.surplus_share) if going.account != INSURANCE else 0
        )
    return LiquidationSliced(
        at,
        going.id,
        going.account,
        request,
        market,
        state.mark_price(market),
        held,
        equity,
        maintenance,
        going.decided,
        -going.asked,
        going.limit,
        -lots,
        -value,
        bound,
        fee,
        fills,
        terms,
    )
