"""What the books take over from the chain when the two differ, and when trading stops growing because the chain is too far behind."""

from collections import Counter
from typing import Final

from core import events as e
from core.batches import BatchStatus
from core.custody_events import AcceptedSlot, ChainAccepted, ExitDelaySeen, SettlementLate, StrayClaimed
from core.netting import DELTA_MAX
from core.quantities import MONEY_MAX
from matcher import commands as c
from matcher.late import too_late
from matcher.limits import PAGE_MAX
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Exchange

FOREIGN: Final = "chain:"
"""What the key of a withdrawal begins with that the exchange did not order; the beginning of its transaction's signature follows."""
_SIGNATURE_KEPT: Final = 48


def accept_chain(state: Exchange, command: c.AcceptChain, at: int) -> Outcome:
    """Take over what the chain holds in each slot, and book what left it by withdrawals that were none of the exchange's.

    What the exchange owes to its accounts stays, so the next cut asks back what somebody has too much, and gives it, and what is left
    over, to whoever has too little. What lies where no batch of ours reaches is the insurance fund's loss.
    """
    wrong = _unfit(state) or _wrong(state, command)
    if wrong:
        return Rejection(Code.CHAIN_NOT_ACCEPTED, wrong)
    taken = _withdrawn(state, command, at)
    gone = Counter[int]()
    for event in taken:
        if isinstance(event, e.WithdrawalReserved):
            gone[event.account] += event.amount
    slots = tuple(
        AcceptedSlot(
            one.account,
            one.holds - one.settled + gone[one.account],
            one.unapplied - state.accounts[one.account].unapplied,
            one.withdrawal,
        )
        for one in command.slots
    )
    lost = state.custody.left_over - command.left_over - sum(one.change for one in slots)
    if lost != command.lost or lost < -state.paid_out:
        return Rejection(
            Code.CHAIN_NOT_ACCEPTED,
            f"By what the slots hold {lost} micro-USDC are lost, and {command.lost} were said to be: compare again.",
        )
    accepted = ChainAccepted(
        at,
        slots,
        command.left_over,
        command.astray,
        lost,
        command.strangers,
        command.who,
        command.why,
    )
    return [*taken, accepted] if taken or _changes(state, accepted) else []


def _unfit(state: Exchange) -> str:
    """Why nothing is taken over now, whatever it is."""
    if state.breakers.settlement is None:
        return "Settlement goes on: hold it first."
    last = state.cut.batch if state.cut is not None else 0
    if state.batches.get(last, BatchStatus.FINAL) != BatchStatus.FINAL:
        return f"Batch {last} is not final yet: what it moves is on its way."
    return ""


def _wrong(state: Exchange, command: c.AcceptChain) -> str:
    """What is wrong with what the chain is said to hold."""
    named = [one.account for one in command.slots]
    if len(set(named)) < len(named):
        return "An account is named once."
    for one in command.slots:
        account = state.accounts.get(one.account)
        if account is None or account.page < 0:
            return f"Account {one.account} has no slot on chain."
        if not 0 <= one.holds <= MONEY_MAX or abs(one.unapplied) > MONEY_MAX:
            return (
                f"Account {one.account} can not hold or lack that: it is less than nothing, or out of range."
            )
        if not 0 <= one.withdrawal <= MONEY_MAX:
            return f"Account {one.account} can not have had a withdrawal of that number."
        if account.withdrawals_open:
            return f"A withdrawal of account {one.account} is open: it is paid or given back first."
        if account.settled != one.settled:
            return f"Account {one.account} has {account.settled} micro-USDC settled by now: compare again."
    if any(
        not 0 < one.amount <= MONEY_MAX or not one.signature or one.account not in named
        for one in command.withdrawn
    ):
        return "A withdrawal that was found has an amount and a signature, and its slot is among those that differ."
    if not 0 <= command.left_over <= DELTA_MAX:
        return (
            f"What is left over is not negative, and at most {DELTA_MAX} micro-USDC, which a batch can give."
        )
    if not 0 <= command.astray <= MONEY_MAX or any(
        (page, slot) in state.slots or not 0 <= page <= PAGE_MAX or not 0 <= slot <= 255
        for page, slot in command.strangers
    ):
        return "What lies astray is not negative, and in slots that the books do not know."
    return ""


def _withdrawn(state: Exchange, command: c.AcceptChain, at: int) -> list[e.Event]:
    """Records of the co-signed withdrawals that were found on chain, as of any that was paid; one that is booked makes none."""
    events: list[e.Event] = []
    number = state.last_withdrawal
    for one in command.withdrawn:
        key = FOREIGN + one.signature[:_SIGNATURE_KEPT]
        if (one.account, key) in state.withdrawal_keys:
            continue
        number += 1
        events.append(e.WithdrawalReserved(at, number, one.account, one.amount, key))
        events.append(e.WithdrawalFinished(at, number, one.account, one.amount, True, one.signature))
    return events


def _changes(state: Exchange, accepted: ChainAccepted) -> bool:
    custody = state.custody
    same = (custody.left_over, custody.astray, custody.strangers)
    moved = any(
        one.change or one.unapplied or one.withdrawal > state.accounts[one.account].foreign
        for one in accepted.slots
    )
    return moved or same != (accepted.left_over, accepted.astray, list(accepted.strangers))


def see_stray(state: Exchange, command: c.SeeStray, at: int) -> Outcome:
    """Take note, once, of what was claimed from a slot that the books do not know; what came into one needs no note.

    A key that is booked is no stray's: whose slot it was has left since, and another has it.
    """
    booked = state.claims.get(command.key)
    if booked is not None:
        return Repeated((booked,))
    if (deposit := state.deposits.get(command.key)) is not None:
        return Repeated((e.DepositCredited(at, *deposit, command.key),))
    known = state.custody.stray_claims.get(command.key)
    if known is not None:
        return Repeated((StrayClaimed(at, known, command.key),))
    if not command.key or not 0 <= command.claimed <= MONEY_MAX - state.custody.claimed_astray:
        return Rejection(Code.BAD_VALUE, "What was claimed has a key, and is not negative and within range.")
    return [StrayClaimed(at, command.claimed, command.key)] if command.claimed else []


def see_exit_delay(state: Exchange, command: c.SeeExitDelay, at: int) -> Outcome:
    """Take note of the escrow's delays; longer ones may let trading go on at once."""
    if not (0 < command.seconds <= MONEY_MAX and 0 <= command.limit_delay <= MONEY_MAX):
        return Rejection(
            Code.BAD_VALUE,
            "An exit delay is a positive number of seconds, that of lower loss limits none below 0.",
        )
    custody = state.custody
    if (command.seconds, command.limit_delay) == (custody.exit_delay, custody.limit_delay):
        return []
    seen = ExitDelaySeen(at, command.seconds, command.limit_delay)
    delay = min(command.seconds, command.limit_delay or command.seconds)
    return [seen, *in_time_again(state, custody.since, delay, at)]


def in_time_again(state: Exchange, since: int, delay: int, at: int) -> list[SettlementLate]:
    """What ends the time in which nothing grows, once the chain holds equities as of `since`; nothing while that is too long ago for
    `delay`, as `Custody.escape_delay`."""
    if not state.custody.late or too_late(since, delay, at):
        return []
    return [SettlementLate(at, False, since, delay)]


def growth_stopped(state: Exchange, at: int) -> list[e.Event]:
    """What stops growth: `matcher.late.late_at` has found that it is time."""
    custody = state.custody
    return [SettlementLate(at, True, custody.since, custody.escape_delay)]
