"""Records of exits, and of what settlement could not do, into state."""

from heapq import heappush
from typing import Final

from core.accounts import INSURANCE
from core.event import Event
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitMatured, ExitReleased, ExitRequested
from matcher.apply_book import Applier
from matcher.apply_loss_limits import give_back
from matcher.exiting import family
from matcher.state import Exchange


def _requested(state: Exchange, event: ExitRequested) -> None:
    _ended(state, event.account)
    state.exits[event.account] = event
    heappush(state.exits_due, state.ripens(event))


def _released(state: Exchange, event: ExitReleased) -> None:
    _ended(state, event.account)


def _ended(state: Exchange, account: int) -> None:
    """No request of the account stands any more, or another one does."""
    state.exits.pop(account, None)
    if account in state.matured:
        state.matured.remove(account)
        suspect_family(state, account)
        tie(state, account)


def _matured(state: Exchange, event: ExitMatured) -> None:
    state.matured.add(event.account)
    suspect_family(state, event.account)
    tie(state, event.account)


def tie(state: Exchange, root: int) -> None:
    """While the chain may pay the slot's request, the margin of each account that shares it depends on the others' positions."""
    ids = tuple(one.id for one in family(state.accounts[root]))
    for id in ids:
        if root in state.matured and len(ids) > 1:
            state.watch.tied[id] = ids
        else:
            state.watch.tied.pop(id, None)


def _claimed(state: Exchange, event: ExitClaimed) -> None:
    account = state.accounts[event.account]
    for id, amount in event.given:
        state.post(state.accounts[id], -amount)
        state.post(account, amount)
        state.watch.suspect(id)
    state.post(account, -event.amount)
    account.settled -= event.amount
    state.watch.suspect(event.account)
    _ended(state, event.account)
    state.claims[event.key] = event
    # One that was told of as a stray's before is so no more: counted twice, it would keep every exit standing for ever.
    state.custody.stray_claims.pop(event.key, None)
    if event.account == INSURANCE:
        state.fund_began -= event.amount
    state.claimed += event.amount
    state.paid_out += event.amount


def _unapplied(state: Exchange, event: DeltasUnapplied) -> None:
    for id, change, total in event.parts:
        account = state.accounts[id]
        account.settled -= change
        account.unapplied = total
        give_back(state, id, change)
        # The pages of a batch add up to nothing, unless what a thief had left over was there to be given.
        state.custody.left_over += change
        if id in state.matured or id in state.loss_limits:
            suspect_family(state, id)


def suspect_tied(state: Exchange, account: int) -> None:
    """Something happened to an account that neither a mark nor a check of margin knew of: those tied to it may lack what it lost."""
    if account in state.watch.tied:
        suspect_family(state, account)


def suspect_family(state: Exchange, account: int) -> None:
    """What the chain can pay for a slot has changed, so all that share it are looked at."""
    state.watch.suspect_many([one.id for one in family(state.accounts[account]) if one.positions])


EXIT_APPLIERS: Final[dict[type[Event], Applier]] = {
    ExitRequested: _requested,
    ExitReleased: _released,
    ExitMatured: _matured,
    ExitClaimed: _claimed,
    DeltasUnapplied: _unapplied,
}
