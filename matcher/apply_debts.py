"""Debts into state."""

from typing import Final

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered
from core.event import Event
from matcher.apply_book import Applier
from matcher.apply_exits import suspect_family
from matcher.state import Exchange


def _covered(state: Exchange, event: DebtCovered) -> None:
    accounts, watch = state.accounts, state.watch
    state.post(accounts[event.account], event.debt - event.left)
    state.post(accounts[INSURANCE], -event.fund)
    state.post(accounts[TREASURY], -event.treasury)
    for account, amount in event.shares:
        state.post(accounts[account], -amount)
    watch.dirty.add(INSURANCE)
    watch.suspect(event.account)
    # It was no trade of theirs, so nobody has looked whether what is left still carries their positions.
    holding = [account for account, _ in event.shares if accounts[account].positions]
    watch.suspect_many(holding)
    watch.dirty.update(account for account, _ in event.shares)
    for root in sorted({accounts[account].root.id for account, _ in event.shares} & state.matured):
        suspect_family(state, root)


def _awaited(state: Exchange, event: DebtAwaited) -> None:
    state.watch.debtors.discard(event.account)
    state.watch.unpaid.add(event.account)


DEBT_APPLIERS: Final[dict[type[Event], Applier]] = {DebtCovered: _covered}
"""Records."""

DEBT_PAUSE_APPLIERS: Final[dict[type[Event], Applier]] = {DebtAwaited: _awaited}
"""What dies with the process."""
