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
from matcher.fills import Plan
from matcher.state import Exchange
from matcher.watch import Liquidation

_ROUNDING: Final = 3
"""Micro-USDC per lot by which auctions are better than their bound: what requirements and values rounded up can make of a part of
the lots, when not all find a bidder."""


def standing(state: Exchange, account: Account) -> AccountRisk:
    """What an account's auctions go by: its margin, or all that it is worth when it is short only of what its owner keeps back."""
    return state.worth_of(account) if state.offered_first(account) else state.margin_of(account)


def closing_now(state: Exchange, account: Account, market: int, lots: int) -> Closing:
    """Closing `lots` (positive) of the account's position in a market as things stand."""
    risk = standing(state, account)
    return closing(state.marks[market], account.positions[market].size, lots, risk.equity, risk.maintenance)


def limit_of(worst: int, side: int, tick_value: int) -> int:
    """The limit in ticks of an auction that buys (`side` 1) or sells (-1) at `worst` or better, however few lots find a bidder."""
    return max(0, worst - side * divide_up(_ROUNDING, tick_value))


def still_bounded(state: Exchange, terms: RequestOpened) -> RequestOpened:
    """An auction's terms at its close: the mark has moved, and no fill may leave the account worse off; limit 0: none may."""
    account = state.accounts[terms.account]
    if account.id not in state.liquidations:
        return terms  # The insurance fund sells of its own accord.
    limit = limit_at_close(state, account, terms.market, terms.side * terms.size, terms.limit)
    return replace(terms, limit=limit)


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
        part = closing(state.marks[market], held, abs(lots), equity, maintenance)
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
