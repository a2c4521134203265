"""Liquidation's events into state."""

from heapq import heappush
from typing import Final

from core import liquidation_events as le
from core.accounts import CLEARING, INSURANCE
from core.event import Event
from core.events import RequestClosed
from matcher.apply_book import Applier
from matcher.apply_exits import suspect_tied
from matcher.book import RESUME_DEADLINE
from matcher.holding import hold
from matcher.selling import Sale
from matcher.state import Exchange
from matcher.watch import Liquidation


def _started(state: Exchange, event: le.LiquidationStarted) -> None:
    state.last_liquidation = event.liquidation
    state.liquidations[event.account] = Liquidation(event.liquidation, event.account)
    state.watch.suspect(event.account)


def auction_closed(state: Exchange, event: RequestClosed) -> None:
    """A request that the exchange itself had opened is closed: the liquidation it was for goes on, or the insurance fund's sale."""
    going = state.liquidations.get(event.account)
    if going is not None:
        going.request = 0
        state.watch.suspect(event.account)
    elif event.account == INSURANCE:
        state.book.sales.setdefault(event.market, Sale()).closed(event.filled, event.at)


def _sliced(state: Exchange, event: le.LiquidationSliced) -> None:
    going = state.liquidations[event.account]
    going.unsold = not event.size
    if event.size:
        going.step = "sold"
        going.vain = 0
    state.accounts[event.account].balance -= event.fee
    state.accounts[INSURANCE].balance += event.fee
    state.watch.dirty.add(INSURANCE)
    _suspect(state, event.account)


def _taken_over(state: Exchange, event: le.TakenOver) -> None:
    state.liquidations[event.account].step = "taken_over"
    _hand_over(state, event.account, event.parts)


def _deleveraged(state: Exchange, event: le.Deleveraged) -> None:
    for closed in (event.account, *(part.other for part in event.parts)):
        if closed in state.liquidations:
            state.liquidations[closed].step = "deleveraged"
    _hand_over(state, event.account, event.parts)


def _hand_over(state: Exchange, account: int, parts: tuple[le.Handover, ...]) -> None:
    accounts = state.accounts
    giver, clearing = accounts[account], accounts[CLEARING]
    _suspect(state, account)
    for part in parts:
        other = accounts[part.other]
        longer = hold(state, giver, part.market, -part.size, part.cost)
        longer += hold(state, other, part.market, part.size, part.other_cost)
        if longer:
            state.change_open_interest(part.market, longer)
        giver.balance += part.realized
        other.balance += part.other_realized
        clearing.balance -= part.realized + part.other_realized
    state.watch.suspect_many([part.other for part in parts])
    for part in parts:
        suspect_tied(state, part.other)


def _suspect(state: Exchange, account: int) -> None:
    """An account traded and nobody's margin was checked."""
    state.watch.suspect(account)
    suspect_tied(state, account)


def _ended(state: Exchange, event: le.LiquidationEnded) -> None:
    del state.liquidations[event.account]
    account = state.accounts[event.account]
    if not account.positions:
        account.warned = 0
    state.watch.suspect(event.account)


def _warned(state: Exchange, event: le.MarginWarned) -> None:
    state.accounts[event.account].warned = event.level
    state.watch.suspect(event.account)


def _floor_set(state: Exchange, event: le.InsuranceFloorSet) -> None:
    state.insurance_floor = event.floor
    state.watch.paid_in(INSURANCE)
    state.watch.suspect(INSURANCE)


def _paused(state: Exchange, event: le.LiquidationPaused) -> None:
    going = state.liquidations[event.account]
    going.until, going.stuck = event.until, event.stuck
    going.vain += 1
    heappush(state.book.deadlines, (event.until, RESUME_DEADLINE, event.account, 0))
    state.watch.suspect(event.account)


def _price_awaited(state: Exchange, event: le.PriceAwaited) -> None:
    state.watch.wait(event.market, event.action)


def _review_asked(state: Exchange, event: le.ReviewAsked) -> None:
    state.watch.suspect(event.account)


LIQUIDATION_APPLIERS: Final[dict[type[Event], Applier]] = {
    le.LiquidationStarted: _started,
    le.LiquidationSliced: _sliced,
    le.TakenOver: _taken_over,
    le.Deleveraged: _deleveraged,
    le.LiquidationEnded: _ended,
    le.MarginWarned: _warned,
    le.InsuranceFloorSet: _floor_set,
}
"""Records."""

PAUSE_APPLIERS: Final[dict[type[Event], Applier]] = {
    le.LiquidationPaused: _paused,
    le.PriceAwaited: _price_awaited,
    le.ReviewAsked: _review_asked,
}
"""What dies with the process."""
