"""Records of exits, and of what settlement could not do, into state."""

from typing import Final

from core.event import Event
from core.exit_events import DeltasUnapplied, ExitClaimed, ExitReleased, ExitRequested
from matcher.apply_book import Applier
from matcher.apply_loss_limits import give_back
from matcher.state import Exchange


def _requested(state: Exchange, event: ExitRequested) -> None:
    state.exits[event.account] = event


def _released(state: Exchange, event: ExitReleased) -> None:
    del state.exits[event.account]


def _claimed(state: Exchange, event: ExitClaimed) -> None:
    account = state.accounts[event.account]
    for id, amount in event.given:
        state.accounts[id].balance -= amount
        account.balance += amount
        state.watch.suspect(id)
    account.balance -= event.amount
    account.settled -= event.amount
    state.watch.suspect(event.account)
    state.exits.pop(event.account, None)
    state.claims[event.key] = event
    state.claimed += event.amount
    state.paid_out += event.amount


def _unapplied(state: Exchange, event: DeltasUnapplied) -> None:
    for id, change, total in event.parts:
        account = state.accounts[id]
        account.settled -= change
        account.unapplied = total
        give_back(state, id, change)


EXIT_APPLIERS: Final[dict[type[Event], Applier]] = {
    ExitRequested: _requested,
    ExitReleased: _released,
    ExitClaimed: _claimed,
    DeltasUnapplied: _unapplied,
}
