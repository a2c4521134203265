"""Events into state. Total: every event that `decide` made applies, and nothing is decided here."""

from collections import deque
from heapq import heapify
from typing import Any, Final

from core import events as e
from core.account_risk import equity_at
from core.accounts import CLEARING, FIRST_AGENT, INSURANCE, TREASURY
from core.batches import BatchStatus
from core.concerns import OF_ONE_ACCOUNT, concerns
from core.fund import PERIOD
from core.mark_price import Basis
from core.netting import net
from core.quantities import Nanos
from matcher.account import GONE, Account
from matcher.apply_book import BOOK_APPLIERS, Applier
from matcher.apply_custody import CUSTODY_APPLIERS
from matcher.apply_debts import DEBT_APPLIERS, DEBT_PAUSE_APPLIERS
from matcher.apply_exits import EXIT_APPLIERS, suspect_family
from matcher.apply_funding import FUNDING_APPLIERS
from matcher.apply_liquidation import LIQUIDATION_APPLIERS, PAUSE_APPLIERS, auction_closed
from matcher.apply_loss_limits import LOSS_LIMIT_APPLIERS, count_debits
from matcher.apply_markets import MARKET_APPLIERS
from matcher.apply_subaccounts import SUB_ACCOUNT_APPLIERS
from matcher.book import PREMIUM_DEADLINE
from matcher.holding import hold
from matcher.keys import unfilled_full, unfilled_share
from matcher.limits import (
    BATCHES_KEPT,
    FILLED_KEPT,
    FORGOTTEN_AT_ONCE,
    KEYS_KEPT,
    KEYS_SURE,
    UNFILLED_KEPT_LONG,
)
from matcher.owed import kept_of_hours
from matcher.state import Cut, Exchange


def apply(state: Exchange, event: e.Event) -> None:
    """Change `state` by `event`. Durable events advance `state.seq` and the private streams they concern."""
    _APPLIERS[type(event)](state, event)


def _numbered(kind: type[e.Event], applier: Applier) -> Applier:
    """An applier of durable events of one kind."""

    def apply_durable(state: Exchange, event: Any) -> None:
        seq = state.seq = state.seq + 1
        state.at = event.at
        applier(state, event)
        accounts = state.accounts
        for account in concerns(event):
            told = accounts[account]
            told.number += 1
            told.newest = seq

    def apply_of_one(state: Exchange, event: Any) -> None:
        seq = state.seq = state.seq + 1
        state.at = event.at
        applier(state, event)
        told = state.accounts[event.account]
        told.number += 1
        told.newest = seq

    return apply_of_one if kind in OF_ONE_ACCOUNT else apply_durable


def _epoch_started(state: Exchange, event: e.EpochStarted) -> None:
    state.epoch = event.epoch
    book = state.book
    book.next_id = (event.epoch << 32) + 1
    book.filled = {}
    book.sales = {}
    # The first premiums are due after the start, however long ago the last ones were.
    book.deadlines = [due for due in book.deadlines if due[1] != PREMIUM_DEADLINE]
    heapify(book.deadlines)
    for market in state.markets:
        book.sample(market, event.at, event.at)


def _index_updated(state: Exchange, event: e.IndexUpdated) -> None:
    period = event.at // PERIOD
    if period != state.fund_period:
        state.fund_period, state.fund_began = period, state.worth_of(state.accounts[INSURANCE]).equity
    before = state.indexes.get(event.market)
    if before is not None:
        state.pasts[event.market].add(before.price, *state.believed_span(before, event.at))
    state.indexes[event.market] = event
    if not event.held:
        state.mark_records.pop(event.market, None)
    state.follow_index(event.market)


def _mark_updated(state: Exchange, event: e.MarkUpdated) -> None:
    state.mark_records[event.market] = event
    if event.of_quotes:
        state.bases[event.market] = Basis(event.basis, Nanos(event.at))
    state.follow_index(event.market)


def _agent_registered(state: Exchange, event: e.AgentRegistered) -> None:
    owned = state.owners.setdefault(event.owner, [])
    account = state.accounts[event.account] = Account(event.account, event.owner, event.name, owned)
    owned.append(account)
    state.owned.add(event.account)
    state.unbound[event.account] = None
    state.names[event.owner, event.name] = event.account
    state.next_account = event.account + 1


def _sessions_revoked(state: Exchange, event: e.SessionsRevoked) -> None:
    state.accounts[event.account].generation = event.generation


def _tier_set(state: Exchange, event: e.TierSet) -> None:
    account = state.accounts[event.account]
    for one in (account, *account.subs):
        one.tier = event.tier


def _slot_bound(state: Exchange, event: e.SlotBound) -> None:
    account = state.accounts[event.account]
    before = state.slots.get((event.page, event.slot))
    if before is not None:
        state.accounts[before].page, state.accounts[before].slot = GONE, -1
    account.page, account.slot = event.page, event.slot
    state.slots[event.page, event.slot] = event.account
    state.unbound.pop(event.account, None)


def _deposit_credited(state: Exchange, event: e.DepositCredited) -> None:
    account = state.accounts[event.account]
    state.post(account, event.amount)
    account.settled += event.amount
    account.deposited += event.amount
    state.watch.paid_in(event.account)
    state.deposited += event.amount
    state.deposits[event.key] = event.account, event.amount
    if event.account == INSURANCE:
        state.fund_began += event.amount


def _withdrawal_reserved(state: Exchange, event: e.WithdrawalReserved) -> None:
    account = state.accounts[event.account]
    state.post(account, -event.amount)
    account.settled -= event.amount
    account.withdrawals_open += 1
    state.watch.dirty.add(event.account)
    state.reserved += event.amount
    state.last_withdrawal = event.withdrawal
    state.withdrawals[event.withdrawal] = event
    state.withdrawal_keys[event.account, event.key] = event


def _withdrawal_finished(state: Exchange, event: e.WithdrawalFinished) -> None:
    state.reserved -= event.amount
    state.accounts[event.account].withdrawals_open -= 1
    del state.withdrawals[event.withdrawal]
    state.finished_withdrawals[event.withdrawal] = event
    if event.paid:
        state.paid_out += event.amount
    else:
        account = state.accounts[event.account]
        state.post(account, event.amount)
        account.settled += event.amount
        state.watch.dirty.add(event.account)


def _filled(state: Exchange, event: e.Filled) -> None:
    accounts, market, change = state.accounts, event.market, event.side * event.size
    taker, maker = accounts[event.taker], accounts[event.maker]
    longer = hold(state, taker, market, change, event.taker_cost)
    longer += hold(state, maker, market, -change, event.maker_cost)
    if longer:
        state.change_open_interest(market, longer)
    state.post(taker, event.taker_realized - event.fee)
    state.post(maker, event.maker_realized)
    state.post(accounts[TREASURY], event.fee)
    state.post(accounts[CLEARING], -(event.taker_realized + event.maker_realized))
    dirty = state.watch.dirty
    dirty.add(event.taker)
    dirty.add(event.maker)
    made = state.funding[market].running.made
    made[event.maker] = made.get(event.maker, 0) - change
    filled, where = state.book.filled, (event.maker, market)
    filled[where] = filled.get(where, 0) + event.size
    state.last_fill = event.fill
    if not state.custody.since:
        state.custody.since = event.at
    state.last_prices[market] = event.price
    protections = state.book.protections
    if protections and (event.maker, market) in protections:
        protections[event.maker, market].record(event.at, -change)


def _request_closed(state: Exchange, event: e.RequestClosed) -> None:
    id = event.request
    if event.key:
        account = state.accounts[event.account]
        if event.filled:
            account.keep(event, beyond=False)
        else:
            account.keep(event, beyond=unfilled_full(state, account, event.at))
            state.unfilled_kept += 1
        _forget(state, account, event.at)
    else:
        auction_closed(state, event)
    # Who asks no more has its turn, too: whatever it did last would be kept for ever.
    _forget(state, state.accounts[FIRST_AGENT + id % (state.next_account - FIRST_AGENT)], event.at)
    book = state.book
    if id >= book.next_id:
        book.next_id = id + 1
    book.close(event.account, event.key, id, event.at)


def _forget(state: Exchange, account: Account, at: int) -> None:
    """Forget the account's oldest answers that are too old or, once that is allowed, too many, a few of each kind at a time."""
    sure = at - KEYS_SURE
    filled, unfilled = account.filled, account.unfilled
    if filled and filled[0].at < sure:
        _forget_oldest(state, account, filled, FILLED_KEPT, at)
    if unfilled and unfilled[0].at < sure:
        _forget_oldest(state, account, unfilled, min(UNFILLED_KEPT_LONG, unfilled_share(state)), at)


def _forget_oldest(
    state: Exchange, account: Account, kept: deque[e.RequestClosed], most: int, at: int
) -> None:
    """Forget so many of the oldest as are beyond the time that they are kept for, which is shorter while they are more than `most`."""
    for _ in range(FORGOTTEN_AT_ONCE):
        if not kept or kept[0].at >= at - (KEYS_KEPT if len(kept) <= most else KEYS_SURE):
            break
        forgotten = kept.popleft()
        account.forget(forgotten)
        state.unfilled_kept -= not forgotten.filled


def _settlement_cut(state: Exchange, event: e.SettlementCut) -> None:
    settling = [account for account in state.accounts.values() if account.root.page >= 0]
    parents = {account.id: account.parent.id for account in settling if account.parent is not None}
    marks = state.marks
    equities = {account.id: equity_at(state.funds(account), account.positions, marks) for account in settling}
    for kept, amount in kept_of_hours(state).items():
        equities[kept] += amount
    settled = {account.id: account.settled for account in settling if account.parent is None}
    left_over, state.custody.left_over = state.custody.left_over, 0
    deltas = net(settled, equities, parents, left_over)
    for id, delta in deltas.items():
        state.accounts[id].settled += delta
    count_debits(state, deltas)
    for id in sorted(state.matured):
        suspect_family(state, id)
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
        left_over=left_over,
    )
    state.batches[event.batch] = BatchStatus.BATCHED
    state.batches.pop(event.batch - BATCHES_KEPT, None)


def _batch_advanced(state: Exchange, event: e.BatchAdvanced) -> None:
    state.batches[event.batch] = event.status
    cut = state.cut
    if event.status == BatchStatus.FINAL and cut is not None and cut.batch == event.batch:
        state.custody.since = cut.at
        # What the chain may pay is known better now: who was due by what it might have paid may not be.
        for id in sorted(state.matured):
            suspect_family(state, id)


_DURABLE_APPLIERS: Final[dict[type[e.Event], Applier]] = {
    e.EpochStarted: _epoch_started,
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
    e.MarkUpdated: _mark_updated,
    e.SessionsRevoked: _sessions_revoked,
    **LIQUIDATION_APPLIERS,
    **FUNDING_APPLIERS,
    **SUB_ACCOUNT_APPLIERS,
    **DEBT_APPLIERS,
    **EXIT_APPLIERS,
    **LOSS_LIMIT_APPLIERS,
    **CUSTODY_APPLIERS,
}
_APPLIERS: Final = (
    BOOK_APPLIERS
    | PAUSE_APPLIERS
    | DEBT_PAUSE_APPLIERS
    | {kind: _numbered(kind, applier) for kind, applier in (_DURABLE_APPLIERS | MARKET_APPLIERS).items()}
)
