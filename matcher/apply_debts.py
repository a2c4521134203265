"""Debts into state."""

from typing import Final

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered
from core.event import Event
from matcher.apply_book import Applier
from matcher.state import Exchange


def _covered(state: Exchange, event: DebtCovered) -> None:
    accounts, watch = state.accounts, state.watch
    accounts[event.account].balance += event.debt - event.left
    accounts[INSURANCE].balance -= event.fund
    accounts[TREASURY].balance -= event.treasury
    for account, amount in event.shares:
        accounts[account].balance -= amount
    watch.dirty.update([account for account, _ in event.shares], (INSURANCE,))
    watch.suspect(event.account)


def _awaited(state: Exchange, event: DebtAwaited) -> None:
    state.watch.debtors.discard(event.account)
    state.watch.unpaid.add(event.account)


DEBT_APPLIERS: Final[dict[type[Event], Applier]] = {DebtCovered: _covered}
"""Records."""

DEBT_PAUSE_APPLIERS: Final[dict[type[Event], Applier]] = {DebtAwaited: _awaited}
"""What dies with the process."""
