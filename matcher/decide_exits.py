"""Owners that leave without the operator: what they ask for on chain is kept free, and what stands against it is closed in time."""

from typing import Final

from core.event import Event
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased, ExitRequested
from core.exits import sell_by, taken
from core.netting import may_be_undone
from core.quantities import MONEY_MAX, SECOND
from core.validity import Action
from matcher import commands as c
from matcher.account import Account
from matcher.decide_requests import not_tradable
from matcher.exiting import closes_from, family, leaving_of, must_sell
from matcher.offering import part_auctioned
from matcher.rejections import Code, Outcome, Rejection, Repeated
from matcher.state import Exchange
from matcher.trust import trusted, untrusted
from matcher.uncovering import quotes_uncovered

PULLED: Final = "exit"
"""Why quotes go that the rest does not cover."""
_NO_SLOT: Final = Rejection(Code.ACCOUNT_UNKNOWN, "The account has no slot on chain.")


def request_exit(state: Exchange, command: c.RequestExit, at: int) -> Outcome:
    """Take note of what an owner asks to take out, and withdraw the quotes of its accounts that the rest does not cover.

    A repeat withdraws those that are not covered any more. The treasury and the insurance fund are owners as all others: their keys
    can be stolen, too, and what the fund is asked for it takes nothing over with (`matcher.decide_liquidation`).
    """
    account = state.accounts.get(command.account)
    if account is None or account.page < 0:
        return _NO_SLOT
    if not 0 < command.amount <= MONEY_MAX or not 0 < command.exit_at <= MONEY_MAX // SECOND:
        return Rejection(Code.BAD_VALUE, "An exit has a positive amount and time, both within range.")
    stands = state.exits.get(account.id)
    same = stands is not None and (stands.amount, stands.exit_at) == (command.amount, command.exit_at)
    asked = ExitRequested(at, account.id, command.amount, command.exit_at, sell_by(command.exit_at))
    noted = [] if same else [asked]
    pulled: list[Event] = []
    for one in family(account):
        leaving = leaving_of(state, one, command.amount)
        pulled += quotes_uncovered(state, one, PULLED, at, leaving, state.reach_of(one))
    return [*noted, *pulled]


def all_booked(state: Exchange, claimed: int) -> bool:
    """Whether a view of the chain in which `claimed` micro-USDC were claimed in all has no claim that is not known here.

    Those from slots that the books do not know are among them: one of a micro-USDC would otherwise keep everybody waiting for ever.
    """
    return claimed == state.claimed + state.custody.claimed_astray


def release_exit(state: Exchange, command: c.ReleaseExit, at: int) -> Outcome:
    """Let go of what was kept free for a request that was taken back."""
    stands = state.exits.get(command.account)
    if stands is None or not all_booked(state, command.claimed):
        return []
    return [ExitReleased(at, stands.account, stands.amount, stands.exit_at)]


def claim_exit(state: Exchange, command: c.ClaimExit, at: int) -> Outcome:
    """Book what the chain paid, whatever that leaves: it is gone. Sub-accounts give what the account itself does not have free."""
    known = state.claims.get(command.key)
    if known is not None:
        return Repeated((known,))
    account = state.accounts.get(command.account)
    if account is None or account.page < 0:
        return _NO_SLOT
    if not 0 < command.amount <= state.deposited - state.paid_out:
        return Rejection(Code.BAD_VALUE, "A claim is positive and no more than the exchange holds.")
    given = _given(state, account, command.amount)
    return [ExitClaimed(at, account.id, command.amount, command.key, given)]


def _given(state: Exchange, account: Account, amount: int) -> tuple[tuple[int, int], ...]:
    """What each sub-account puts in."""
    accounts = family(account)
    worths = [state.worth_of(one) for one in accounts]
    parts = taken(amount, [(worth.equity, worth.initial) for worth in worths])
    return tuple((one.id, part) for one, part in zip(accounts[1:], parts[1:], strict=True) if part)


def reduce_for_exit(state: Exchange, command: c.ReduceForExit, at: int) -> Outcome:
    """Once half of the delay is over, auction a slice of the largest position until what was asked for is free.

    Before, the owner reduces as it likes. One auction at a time; what nobody buys is asked for again. A market whose price is in doubt
    keeps its position, and nobody else's: elsewhere it goes on.
    """
    if command.account not in state.exits or not all_booked(state, command.claimed):
        return []
    root = state.accounts[command.account]
    accounts = family(root)
    if any(one.id in state.liquidations or "" in state.book.open_keys.get(one.id, ()) for one in accounts):
        return []
    if not must_sell(state, root, at):
        return []
    held = [
        (state.marks[market].initial_of(position.size), -market, one)
        for one in accounts
        for market, position in one.positions.items()
        if not_tradable(state, market, at) is None and trusted(state, market, Action.MARGIN, at)
    ]
    if not held:
        doubted = (untrusted(state, one.positions, Action.MARGIN, at) for one in accounts)
        return next((refused for refused in doubted if refused is not None), [])
    _, market, largest = max(held, key=lambda one: one[:2])
    return part_auctioned(state, largest, -market, at)


def exit_matured(state: Exchange, at: int) -> list[Event]:
    """The maturity of the request that is next; `state.exit_due` has found that there is one."""
    return [ExitMatured(at, state.exits_due[0][1])]


def quoting(state: Exchange, request: ExitRequested) -> bool:
    """Whether the accounts of a request have quotes or answers open, which may have lost their cover."""
    book = state.book
    return any(
        book.answered_by.get(one.id) or any(book.standing.get((one.id, market)) for market in state.markets)
        for one in family(state.accounts[request.account])
    )


def closing(state: Exchange, request: ExitRequested, at: int) -> bool:
    """Whether it is time to close what the accounts of a request hold, and they hold something."""
    due = at >= closes_from(request)
    return due and any(one.positions for one in family(state.accounts[request.account]))


def take_unapplied(state: Exchange, command: c.TakeUnapplied, at: int) -> Outcome:
    """Take back into what is settled what a landed page did not do, so that the next cut asks for it again.

    What the batch cannot have left undone is the doing of somebody else with the operator's key: it stays a difference, for a person.
    """
    cut = state.cut
    if cut is None or command.batch != cut.batch:
        return Rejection(Code.BATCH_OUT_OF_ORDER, "Only the last batch that was cut can tell what it did.")
    parts = []
    for slot, total in command.unapplied:
        id = state.slots.get((command.page, slot))
        if id is None:
            return _NO_SLOT
        change = total - state.accounts[id].unapplied
        if change and may_be_undone(cut.deltas.get(id, 0), change):
            parts.append((id, change, total))
    return [DeltasUnapplied(at, command.batch, command.page, tuple(parts))] if parts else []
