"""Records about markets into state: listing, status, limits, jumps of open interest, delisting."""

from heapq import heappush
from typing import Final

from core import events as e
from core.accounts import CLEARING, INSURANCE
from core.market import Market, MarketStatus
from core.market_limits import with_limits
from core.open_interest import Lows
from core.operator_events import (
    EXCHANGE,
    DelistingAnnounced,
    LimitsSet,
    MarketSettled,
    OpenInterestJumped,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from core.quantities import Lots, Nanos
from core.settlement_price import Past
from matcher.apply_book import Applier
from matcher.apply_exits import suspect_tied
from matcher.book import DELISTING_DEADLINE, Ladder
from matcher.funding import MarketFunding
from matcher.holding import hold
from matcher.state import Exchange


def _market_listed(state: Exchange, event: e.MarketListed) -> None:
    id = event.market.id
    state.statuses.setdefault(id, MarketStatus.OPEN)
    state.open_interest.setdefault(id, 0)
    # In older journals a tick may be worth something else from here on.
    state.pasts[id] = Past()
    state.book.asks.setdefault(id, Ladder(1))
    state.book.bids.setdefault(id, Ladder(-1))
    state.book.makers.setdefault(id, {})
    if id not in state.funding:
        state.funding[id] = MarketFunding()
        state.book.sample(id, event.at, event.at)
    if event.who in ("", EXCHANGE):
        state.breakers.chosen.discard(id)
    else:
        state.breakers.chosen.add(id)
    _take_over(state, event.market, event.at)


def _limits_set(state: Exchange, event: LimitsSet) -> None:
    state.breakers.limited.add(event.market)
    _take_over(state, with_limits(state.markets[event.market], event.limits), event.at)


def _take_over(state: Exchange, market: Market, at: int) -> None:
    """Have these parameters from here on. An alarm that is new looks back no further than this."""
    before = state.markets.get(market.id)
    state.markets[market.id] = market
    if before is not None and before != market:
        holders = state.holding(market.id)
        state.watch.suspect_many(holders)
        for holder in holders:
            suspect_tied(state, holder)
    if market.alarm is None:
        state.breakers.lows.pop(market.id, None)
    elif before is None or before.alarm != market.alarm:
        _look_from_here(state, market.id, at)
    state.follow_index(market.id)


def _look_from_here(state: Exchange, market: int, at: int) -> None:
    lots = Lots(state.open_interest[market])
    state.breakers.lows[market] = Lows(Nanos(at), lots, lots)


def _market_status_set(state: Exchange, event: e.MarketStatusSet) -> None:
    paused = state.statuses[event.market] == MarketStatus.PAUSED
    state.statuses[event.market] = MarketStatus(event.status)
    if event.status == MarketStatus.OPEN:
        state.breakers.closing.pop(event.market, None)
        state.breakers.announced.pop(event.market, None)
    else:
        state.breakers.closing.setdefault(event.market, event.at)
    if paused or event.status == MarketStatus.OPEN:
        for account, going in state.liquidations.items():
            if event.market in state.accounts[account].positions:
                going.go_on(event.market)
                state.watch.suspect(account)
    state.follow_index(event.market)


def _open_interest_jumped(state: Exchange, event: OpenInterestJumped) -> None:
    state.breakers.jumps[event.market] = event
    # What has been said once is not said again for every further trade.
    _look_from_here(state, event.market, event.at)


def _withdrawals_held(state: Exchange, event: WithdrawalsHeld) -> None:
    state.breakers.held = event.held


def _settlement_held(state: Exchange, event: SettlementHeld) -> None:
    state.breakers.settlement = event if event.held else None


def _delisting_announced(state: Exchange, event: DelistingAnnounced) -> None:
    state.breakers.announced[event.market] = event
    heappush(state.book.deadlines, (event.settles_at, DELISTING_DEADLINE, 0, event.market))
    state.follow_index(event.market)


def _market_settled(state: Exchange, event: MarketSettled) -> None:
    accounts, market = state.accounts, event.market
    for end in event.positions:
        account = accounts[end.account]
        hold(state, account, market, -end.size, 0)
        state.post(account, end.realized + end.shared)
        state.post(accounts[CLEARING], -end.realized)
        if end.account in state.liquidations:
            state.liquidations[end.account].step = "delisted"
    state.watch.suspect_many([end.account for end in event.positions])
    for end in event.positions:
        suspect_tied(state, end.account)
    state.post(accounts[INSURANCE], -event.fund)
    state.watch.suspect(INSURANCE)
    if event.positions:
        state.change_open_interest(market, -state.open_interest[market])
    state.funding[market].stop()
    state.follow_hours()
    state.statuses[market] = MarketStatus.SETTLED
    state.breakers.closing.setdefault(market, event.at)
    state.breakers.announced.pop(market, None)
    state.pasts[market] = Past()
    state.follow_index(market)


def _noted(state: Exchange, event: SaleOrdered | ReviewOrdered | RetryOrdered | SharingOrdered) -> None:
    """Only for the audit trail: what it leads to has records and events of its own."""


MARKET_APPLIERS: Final[dict[type[e.Event], Applier]] = {
    e.MarketListed: _market_listed,
    e.MarketStatusSet: _market_status_set,
    LimitsSet: _limits_set,
    OpenInterestJumped: _open_interest_jumped,
    WithdrawalsHeld: _withdrawals_held,
    SaleOrdered: _noted,
    ReviewOrdered: _noted,
    RetryOrdered: _noted,
    SharingOrdered: _noted,
    SettlementHeld: _settlement_held,
    DelistingAnnounced: _delisting_announced,
    MarketSettled: _market_settled,
}
