"""Events into state. Total: every event that `decide` made applies, and nothing is decided here."""

from collections.abc import Callable
from typing import Any, Final

from core import events as e
from core.accounts import CLEARING, TREASURY
from core.batches import BatchStatus
from core.market import MarketStatus
from core.netting import net
from matcher.apply_book import BOOK_APPLIERS
from matcher.book import Ladder
from matcher.limits import ANSWERS_KEPT, BATCHES_KEPT, KEYS_KEPT
from matcher.state import Account, Cut, Exchange, Position


def apply(state: Exchange, event: e.Event) -> None:
    """Change `state` by `event`. Durable events advance `state.seq` and the private streams they concern."""
    kind = type(event)
    durable = DURABLE_APPLIERS.get(kind)
    if durable is None:
        BOOK_APPLIERS[kind](state, event)
        return
    state.seq += 1
    durable(state, event)
    for account in e.concerns(event):
        state.accounts[account].number += 1


def _epoch_started(state: Exchange, event: e.EpochStarted) -> None:
    state.epoch = event.epoch
    state.book.next_id = (event.epoch << 32) + 1


def _market_listed(state: Exchange, event: e.MarketListed) -> None:
    id = event.market.id
    state.markets[id] = event.market
    state.statuses.setdefault(id, MarketStatus.OPEN)
    state.open_interest.setdefault(id, 0)
    state.book.asks.setdefault(id, Ladder(1))
    state.book.bids.setdefault(id, Ladder(-1))
    state.book.makers.setdefault(id, set())


def _market_status_set(state: Exchange, event: e.MarketStatusSet) -> None:
    state.statuses[event.market] = MarketStatus(event.status)


def _index_updated(state: Exchange, event: e.IndexUpdated) -> None:
    state.indexes[event.market] = event


def _agent_registered(state: Exchange, event: e.AgentRegistered) -> None:
    state.accounts[event.account] = Account(event.account, event.owner, event.name)
    state.owners.setdefault(event.owner, []).append(event.account)
    state.owned.add(event.account)
    state.names[event.owner, event.name] = event.account
    state.next_account = event.account + 1


def _tier_set(state: Exchange, event: e.TierSet) -> None:
    state.accounts[event.account].tier = event.tier


def _slot_bound(state: Exchange, event: e.SlotBound) -> None:
    account = state.accounts[event.account]
    account.page, account.slot = event.page, event.slot
    state.slots[event.page, event.slot] = event.account


def _deposit_credited(state: Exchange, event: e.DepositCredited) -> None:
    account = state.accounts[event.account]
    account.balance += event.amount
    account.settled += event.amount
    account.deposited += event.amount
    state.deposited += event.amount
    state.deposits[event.key] = event.account


def _withdrawal_reserved(state: Exchange, event: e.WithdrawalReserved) -> None:
    account = state.accounts[event.account]
    account.balance -= event.amount
    account.settled -= event.amount
    state.reserved += event.amount
    state.last_withdrawal = event.withdrawal
    state.withdrawals[event.withdrawal] = event
    state.withdrawal_keys[event.account, event.key] = event


def _withdrawal_finished(state: Exchange, event: e.WithdrawalFinished) -> None:
    state.reserved -= event.amount
    del state.withdrawals[event.withdrawal]
    state.finished_withdrawals[event.withdrawal] = event
    if event.paid:
        state.paid_out += event.amount
    else:
        account = state.accounts[event.account]
        account.balance += event.amount
        account.settled += event.amount


def _filled(state: Exchange, event: e.Filled) -> None:
    taker, maker = state.accounts[event.taker], state.accounts[event.maker]
    before = _long(taker, event.market) + _long(maker, event.market)
    _hold(taker, event.market, event.side * event.size, event.taker_cost)
    _hold(maker, event.market, -event.side * event.size, event.maker_cost)
    state.open_interest[event.market] += _long(taker, event.market) + _long(maker, event.market) - before
    taker.balance += event.taker_realized - event.fee
    maker.balance += event.maker_realized
    state.accounts[TREASURY].balance += event.fee
    state.accounts[CLEARING].balance -= event.taker_realized + event.maker_realized
    state.last_fill = event.fill
    protection = state.book.protections.get((event.maker, event.market))
    if protection is not None:
        protection.fills.append((event.at, -event.side * event.size))
        while protection.fills and protection.fills[0][0] <= event.at - protection.window:
            protection.fills.popleft()


def _long(account: Account, market: int) -> int:
    held = account.positions.get(market)
    return held.size if held is not None and held.size > 0 else 0


def _hold(account: Account, market: int, change: int, cost: int) -> None:
    held = account.positions.get(market)
    if held is None:
        account.positions[market] = Position(change, cost)
    elif held.size + change:
        held.size += change
        held.cost = cost
    else:
        del account.positions[market]


def _request_closed(state: Exchange, event: e.RequestClosed) -> None:
    account = state.accounts[event.account]
    account.closed[event.request] = event
    account.keys[event.key] = event.request
    while len(account.closed) > ANSWERS_KEPT or _oldest(account).at < event.at - KEYS_KEPT:
        old = account.closed.pop(_oldest(account).request)
        if account.keys.get(old.key) == old.request:
            del account.keys[old.key]
    book = state.book
    book.next_id = max(book.next_id, event.request + 1)
    request = book.requests.pop(event.request, None)
    if request is not None:
        book.requests_of[event.account].discard(event.request)
        del book.open_keys[event.account, event.key]
        for maker in request.answers:
            book.answered_by[maker].discard(event.request)


def _oldest(account: Account) -> e.RequestClosed:
    return next(iter(account.closed.values()))


def _settlement_cut(state: Exchange, event: e.SettlementCut) -> None:
    settling = [account for account in state.accounts.values() if account.page >= 0]
    equities = {account.id: state.margin_of(account).equity for account in settling}
    deltas = net({account.id: account.settled for account in settling}, equities)
    for id, delta in deltas.items():
        state.accounts[id].settled += delta
    previous = state.cut.seq if state.cut is not None else 0
    state.cut = Cut(
        batch=event.batch,
        at=event.at,
        seq=state.seq,
        previous_seq=previous,
        marks=event.marks,
        deltas=deltas,
        balances={account.id: account.balance for account in settling},
        equities=equities,
    )
    state.batches[event.batch] = BatchStatus.BATCHED
    state.batches.pop(event.batch - BATCHES_KEPT, None)


def _batch_advanced(state: Exchange, event: e.BatchAdvanced) -> None:
    state.batches[event.batch] = event.status


DURABLE_APPLIERS: Final[dict[type[e.Event], Callable[[Exchange, Any], None]]] = {
    e.EpochStarted: _epoch_started,
    e.MarketListed: _market_listed,
    e.MarketStatusSet: _market_status_set,
    e.IndexUpdated: _index_updated,
    e.AgentRegistered: _agent_registered,
    e.TierSet: _tier_set,
    e.SlotBound: _slot_bound,
    e.DepositCredited: _deposit_credited,
    e.WithdrawalReserved: _withdrawal_reserved,
    e.WithdrawalFinished: _withdrawal_finished,
    e.Filled: _filled,
    e.RequestClosed: _request_closed,
    e.SettlementCut: _settlement_cut,
    e.BatchAdvanced: _batch_advanced,
}
