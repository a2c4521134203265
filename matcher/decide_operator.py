"""Commands of the operator's side: markets, prices, registration, deposits, withdrawals and settlement."""

import base58

from core import events as e
from core.batches import BatchStatus, may_become
from core.exits import LEAD
from core.liquidation_events import InsuranceFloorSet
from core.market import MarketStatus
from core.quantities import MONEY_MAX, SECOND
from core.validity import Action, believed
from matcher import commands as c
from matcher.account import GONE, WAITING
from matcher.decide_custody import in_time_again
from matcher.leaving import done_with, free, withdrawal_stopped
from matcher.limits import (
    DEPOSITS_MAX,
    KEY_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PAGE_MAX,
    PRICE_MAX,
    SETTLEMENT_PATIENCE,
)
from matcher.marking import mark_updated
from matcher.rejections import SUB_ACCOUNT_ONLY_TRADES, Code, Outcome, Rejection, Repeated
from matcher.state import Exchange
from matcher.trust import untrusted


def start_epoch(state: Exchange, command: c.StartEpoch, at: int) -> Outcome:
    return [e.EpochStarted(at, state.epoch + 1)]


def update_index(state: Exchange, command: c.UpdateIndex, at: int) -> Outcome:
    """Take a new index price, and the mark that it makes; or that nobody believes the newest price, which moves neither.

    A judgement older than the last, or from the future by more than a second, is refused. Before the first price that is believed
    there is nothing to hold on to, so nothing is recorded. Only the index itself can be refused: what is said outside is one view of
    the mark among others, and one that no market could hold counts as none.
    """
    if command.market not in state.markets:
        return Rejection(Code.MARKET_UNKNOWN, "No market has that id.")
    if state.statuses[command.market] == MarketStatus.SETTLED:
        return Rejection(Code.MARKET_SETTLED, "The market was delisted: its price is of no use to anybody.")
    counts = believed(command.validity)
    if not 0 <= command.published <= at + SECOND or (counts and not 0 < command.price <= PRICE_MAX):
        return Rejection(Code.BAD_VALUE, "An index price is positive, within range and not from the future.")
    held = state.open_interest[command.market]
    if counts and state.markets[command.market].notional(command.price, held) > MONEY_MAX:
        return Rejection(Code.BAD_VALUE, "What is held could not be valued at that price.")
    if counts and not 0 <= command.confidence <= PRICE_MAX:
        return Rejection(Code.BAD_VALUE, "A confidence is not negative, and within the range of prices.")
    last = state.indexes.get(command.market)
    if last is not None and command.published < last.published:
        return Rejection(Code.INDEX_GOES_BACK, "The market already has a newer index price.")
    if not counts:
        return [_held(last, command, at)] if last is not None else []
    updated = e.IndexUpdated(
        at,
        command.market,
        command.price,
        command.confidence,
        command.published,
        command.source,
        command.validity,
    )
    outside = command.outside if 0 < command.outside <= PRICE_MAX else 0
    mark = mark_updated(state, command.market, command.price, outside, at)
    return [updated] if mark is None else [updated, mark]


def _held(last: e.IndexUpdated, command: c.UpdateIndex, at: int) -> e.IndexUpdated:
    return e.IndexUpdated(
        at,
        last.market,
        last.price,
        last.confidence,
        command.published,
        last.source,
        command.validity,
        held=True,
    )


def register_agent(state: Exchange, command: c.RegisterAgent, at: int) -> Outcome:
    """Create an account for (owner, name); the same pair again returns it."""
    known = state.names.get((command.owner, command.name))
    if known is not None:
        return Repeated((e.AgentRegistered(at, known, command.owner, command.name),))
    if not 0 < len(command.name) <= NAME_LENGTH_MAX or not command.name.isprintable():
        return Rejection(Code.BAD_VALUE, f"A name has 1 to {NAME_LENGTH_MAX} printable characters.")
    if not _is_key(command.owner):
        return Rejection(Code.BAD_VALUE, "An owner is a Solana public key in base58.")
    return [e.AgentRegistered(at, state.next_account, command.owner, command.name)]


def _is_key(text: str) -> bool:
    if not 32 <= len(text) <= 44 or not text.isascii():
        return False
    try:
        return len(base58.b58decode(text)) == 32
    except ValueError:
        return False


def revoke_sessions(state: Exchange, command: c.RevokeSessions, at: int) -> Outcome:
    if state.accounts[command.account].parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    return [e.SessionsRevoked(at, command.account, state.accounts[command.account].generation + 1)]


def set_tier(state: Exchange, command: c.SetTier, at: int) -> Outcome:
    if not 0 <= command.tier <= 1:
        return Rejection(Code.BAD_VALUE, "A tier is 0 (standard) or 1 (premium).")
    if state.accounts[command.account].parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    return [e.TierSet(at, command.account, command.tier)]


def bind_slot(state: Exchange, command: c.BindSlot, at: int) -> Outcome:
    """Bind an account to its slot on chain; once bound it stays, until the slot was closed and is given to another.

    Only a slot whose account is done with is given to another; an account that lost its slot that way has none for good.
    """
    account = state.accounts[command.account]
    if account.parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    if (account.page, account.slot) == (command.page, command.slot):
        return Repeated((e.SlotBound(at, account.id, command.page, command.slot),))
    if account.page == GONE:
        return []
    before = state.slots.get((command.page, command.slot))
    if account.page != WAITING or (before is not None and not done_with(state, state.accounts[before])):
        return Rejection(Code.SLOT_TAKEN, "The account has another slot, or the slot has another account.")
    if not 0 <= command.page <= PAGE_MAX or not 0 <= command.slot <= 255:
        return Rejection(Code.BAD_VALUE, "A slot is a page and an index in it.")
    return [e.SlotBound(at, account.id, command.page, command.slot)]


def credit_deposit(state: Exchange, command: c.CreditDeposit, at: int) -> Outcome:
    """Credit a finalized deposit once per key, to an agent, the treasury or the insurance fund.

    The program takes no more than `MONEY_MAX` in all, so what it took is never refused.
    """
    known = state.deposits.get(command.key)
    if known is not None:
        account_id, amount = known
        if account_id != command.account or amount not in (0, command.amount):
            return Rejection(Code.KEY_CONFLICT, "That key was used for another deposit.")
        return Repeated((e.DepositCredited(at, account_id, command.amount, command.key),))
    if command.amount <= 0 or state.deposited + command.amount > MONEY_MAX:
        return Rejection(Code.BAD_VALUE, "A deposit is positive and within the exchange's range.")
    account = state.accounts.get(command.account)
    if account is None or account.page < 0:
        return Rejection(Code.ACCOUNT_UNKNOWN, "The account has no slot on chain: a deposit cannot be its.")
    return [e.DepositCredited(at, command.account, command.amount, command.key)]


def credit_deposits(state: Exchange, command: c.CreditDeposits, at: int) -> Outcome:
    """Credit those of many deposits that were not credited before. Where one of them cannot be, none is, and the answer is its."""
    if not 0 < len(command.deposits) <= DEPOSITS_MAX:
        return Rejection(Code.BAD_VALUE, f"A command credits 1 to {DEPOSITS_MAX} deposits.")
    if len({one.key for one in command.deposits}) < len(command.deposits):
        return Rejection(Code.KEY_CONFLICT, "One key stands for two deposits.")
    credited: list[e.Event] = []
    deposited = state.deposited
    for one in command.deposits:
        outcome = credit_deposit(state, one, at)
        if isinstance(outcome, Rejection):
            return outcome
        if not isinstance(outcome, Repeated):
            deposited += one.amount
            credited += outcome
    if deposited > MONEY_MAX:
        return Rejection(Code.BAD_VALUE, "The deposits are beyond the exchange's range.")
    return credited


def reserve_withdrawal(state: Exchange, command: c.ReserveWithdrawal, at: int) -> Outcome:
    """Take an amount out of the account when its margin and what the chain holds for it allow, and nothing stops it."""
    known = state.withdrawal_keys.get((command.account, command.key))
    if known is not None:
        if known.amount != command.amount or known.destination not in ("", command.destination):
            return Rejection(
                Code.KEY_CONFLICT, "That withdrawal id was used with another amount or destination."
            )
        return Repeated((known,))
    if command.amount <= 0 or not 0 < len(command.key) <= KEY_LENGTH_MAX:
        return Rejection(Code.BAD_VALUE, "A withdrawal has a positive amount and an id.")
    if command.destination and not _is_key(command.destination):
        return Rejection(Code.BAD_VALUE, "A destination is a Solana public key in base58.")
    account = state.accounts[command.account]
    if account.parent is not None:
        return SUB_ACCOUNT_ONLY_TRADES
    if command.amount < command.minimum and (account.positions or command.amount != state.funds(account)):
        return Rejection(
            Code.WITHDRAWAL_TOO_SMALL,
            f"A withdrawal is of {command.minimum} micro-USDC at least, or of all that the account has.",
        )
    refused = withdrawal_stopped(state, account, at)
    if refused is not None:
        return refused
    if command.amount > free(state, account):
        return Rejection(
            Code.WITHDRAWAL_TOO_LARGE,
            "More than margin and the owner's own exit leave free, or than the chain holds for the account yet.",
        )
    return [
        e.WithdrawalReserved(
            at,
            state.last_withdrawal + 1,
            command.account,
            command.amount,
            command.key,
            command.destination,
        )
    ]


def finish_withdrawal(state: Exchange, command: c.FinishWithdrawal, at: int) -> Outcome:
    """Close a reservation once. Without a signature, which who looks later may not find, it is the same payment again."""
    reserved = state.withdrawals.get(command.withdrawal)
    if reserved is None:
        finished = state.finished_withdrawals.get(command.withdrawal)
        if finished is not None and finished.paid == command.paid:
            if finished.signature and command.signature not in ("", finished.signature):
                return Rejection(Code.KEY_CONFLICT, "That withdrawal was closed with another signature.")
            return Repeated((finished,))
        return Rejection(Code.WITHDRAWAL_UNKNOWN, "No such withdrawal is reserved.")
    return [
        e.WithdrawalFinished(
            at, command.withdrawal, reserved.account, reserved.amount, command.paid, command.signature
        )
    ]


def set_insurance_floor(state: Exchange, command: c.SetInsuranceFloor, at: int) -> Outcome:
    if not 0 <= command.floor <= MONEY_MAX:
        return Rejection(Code.BAD_VALUE, "The insurance fund's floor is an amount that is not negative.")
    if command.floor == state.insurance_floor:
        return []
    return [InsuranceFloorSet(at, command.floor, command.who, command.why)]


def cut_settlement(state: Exchange, command: c.CutSettlement, at: int) -> Outcome:
    """Cut the next batch; the number of the last cut returns that cut again.

    What is settled can be taken out, so the cut waits until the index of every market with positions is believed for it, but no longer
    than `SETTLEMENT_PATIENCE` after the last cut: then the doubtful market's last mark counts. The chain holds older equities
    otherwise, of this market and of all others. Nor does it wait while the chain is about to pay an owner what it has lost since.
    """
    last = state.cut.batch if state.cut is not None else 0
    if command.batch == last and state.cut is not None:
        return Repeated((e.SettlementCut(state.cut.at, last, state.cut.marks),))
    if command.batch != last + 1:
        return Rejection(Code.BATCH_OUT_OF_ORDER, f"The next batch is {last + 1}.")
    if state.batches.get(last, BatchStatus.FINAL) != BatchStatus.FINAL:
        return Rejection(Code.BATCH_OUT_OF_ORDER, f"Batch {last} is not final yet.")
    if state.breakers.settlement is not None:
        return Rejection(Code.SETTLEMENT_HELD, f"Settlement is held: {state.breakers.settlement.why}")
    held = (id for id in sorted(state.open_interest) if state.open_interest[id])
    refused = untrusted(state, held, Action.SETTLE, at)
    patient = state.cut is None or at - state.cut.at <= SETTLEMENT_PATIENCE
    if refused is not None and patient and not _paid_soon(state, at):
        return refused
    marks = tuple((id, state.mark_price(id)) for id in sorted(state.indexes))
    return [e.SettlementCut(at, command.batch, marks)]


def _paid_soon(state: Exchange, at: int) -> bool:
    """Whether a request to leave that has matured is about to be paid, or just may be, beyond what its accounts are worth."""
    return any(
        at <= state.exits[id].exit_at * SECOND + LEAD and state.overdrawn(state.accounts[id])
        for id in state.matured
    )


def advance_batch(state: Exchange, command: c.AdvanceBatch, at: int) -> Outcome:
    """Publish a batch's status, one move at a time. A status it already has or has passed changes nothing."""
    status = state.batches.get(command.batch)
    if status is None:
        return Rejection(Code.BATCH_OUT_OF_ORDER, "No such batch was cut, or it is long final.")
    if command.status <= status:
        return Repeated((e.BatchAdvanced(at, command.batch, status, command.signatures),))
    if command.status > BatchStatus.FINAL:
        return Rejection(Code.BAD_VALUE, "No such status.")
    # Every batch but the last cut is final.
    if not may_become(status, command.status, lands=state.cut is not None and bool(state.cut.deltas)):
        return Rejection(
            Code.BATCH_OUT_OF_ORDER, f"No move leads from status {int(status)} to {command.status}."
        )
    advanced = e.BatchAdvanced(at, command.batch, command.status, command.signatures)
    cut = state.cut
    if command.status != BatchStatus.FINAL or cut is None or cut.batch != command.batch:
        return [advanced]
    return [advanced, *in_time_again(state, cut.at, state.custody.exit_delay, at)]
