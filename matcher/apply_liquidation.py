"""Liquidation's events into state."""

from heapq import heappush
from typing import Final

from core import liquidation_events as le
from core.accounts import CLEARING, INSURANCE
from core.event import Event
from core.events import RequestClosed, RequestOutcome
from matcher.apply_book import Applier
from matcher.apply_exits import suspect_tied
from matcher.book import RESUME_DEADLINE
from matcher.holding import hold
from matcher.rejections import Code
from matcher.selling import Sale
from matcher.state import Exchange
from matcher.watch import Liquidation


def _started(state: Exchange, event: le.LiquidationStarted) -> None:
    state.last_liquidation = event.liquidation
    state.liquidations[event.account] = Liquidation(event.liquidation, event.account)
    state.watch.suspect(event.account)


CALLED_OFF: Final = (RequestOutcome.CANCELLED, Code.MARKET_PAUSED, Code.MARKET_SETTLED)
"""How auctions end that no bid could win."""


def auction_closed(state: Exchange, event: RequestClosed) -> None:
    """A request that the exchange itself had opened is closed: the liquidation it was for goes on, or the insurance fund's sale.

    Of an auction that no bid could win nothing is learned: it widens no sale, and nobody is taken over after it as if not wanted.
    """
    called_off = event.outcome in CALLED_OFF
    going = state.liquidations.get(event.account)
    if going is not None:
        going.request, going.called_off = 0, called_off
        state.watch.suspect(event.account)
    elif (
        event.account == INSURANCE and not called_off and event.market in state.accounts[INSURANCE].positions
    ):
        sale = state.book.sales.setdefault(event.market, Sale())
        sale.closed(event.filled, event.size, event.at)


def _sliced(state: Exchange, event: le.LiquidationSliced) -> None:
    going = state.liquidations[event.account]
    # A lot now and then must not keep an account from its next stage.
    if abs(event.size) >= abs(event.asked):
        going.unsold.discard(event.market)
    elif not going.called_off:
        going.unsold.add(event.market)
    if event.size:
        going.step = "sold"
        going.vain = 0
    state.post(state.accounts[event.account], -event.fee)
    state.post(state.accounts[INSURANCE], event.fee)
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
        state.post(giver, part.realized)
        state.post(other, part.other_realized)
        state.post(clearing, -(part.realized + part.other_realized))
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
