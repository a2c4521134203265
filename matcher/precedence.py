"""Whose liquidation is due, and since when: what an honest engine goes by, asked of a journal afterwards. Changes nothing."""

from collections.abc import Iterator
from typing import Final

from core.accounts import INSURANCE
from core.event import Event
from core.events import EpochStarted
from core.liquidation import Stage, compare_risk, stage
from core.quantities import SECOND
from matcher.account import Account
from matcher.state import Exchange
from matcher.trust import known

LATE: Final = 5 * SECOND
"""After so long a step that was due is late: an engine takes it at once, and five thousand of them within a second."""


def riskier(state: Exchange, account: Account, at: int) -> list[int]:
    """Accounts to be liquidated before this one that nobody has begun with, ascending, their prices trusted for it at `at`."""
    own = state.margin_of(account)
    return sorted(
        one.id
        for one in _to_begin(state)
        if one is not account
        for risk in (state.margin_of(one),)
        if risk.liquidatable
        and compare_risk(risk.equity, risk.maintenance, own.equity, own.maintenance) > 0
        and known(state, one, at)
    )


def _to_begin(state: Exchange) -> Iterator[Account]:
    """Holders whom nobody has begun to liquidate and who may have to be, all of them among these.

    Whose remembered value meets the initial requirement, which is never below maintenance, and counts as a whole, is not: nearly
    everybody, at every step.
    """
    accounts, marked = state.accounts, state.marked
    bound = state.loss_limits.keys() | state.matured
    for id in set().union(*state.longs.values(), *state.shorts.values()) - state.liquidations.keys():
        account = accounts[id]
        if account.valued != marked:
            state.value(account)
        if account.balance + account.gain < account.required or (bound and account.root.id in bound):
            yield account


class Due:
    """Since which record one account's next step was to be taken at once; auctions may wait for bids, so they are not meant.

    `record` is 0 while nothing is due.
    """

    def __init__(self, account: int) -> None:
        self._account = account
        self.record = self.at = 0

    def applied(self, state: Exchange, event: Event) -> None:
        """A record was applied to `state`. Whoever starts anew, or has just taken a step of the account's, begins to be late then."""
        account = state.accounts.get(self._account)
        if account is None or not self._waits(state, account, event.at):
            self.record = 0
        elif not self.record or isinstance(event, EpochStarted) or self._own(event):
            self.record, self.at = state.seq, event.at

    def since(self, at: int) -> int:
        """The record since which the step taken at `at` was due, if that is too long ago; else 0."""
        return self.record if at - self.at > LATE else 0

    def _own(self, event: Event) -> bool:
        return getattr(event, "liquidation", 0) > 0 and getattr(event, "account", 0) == self._account

    def _waits(self, state: Exchange, account: Account, at: int) -> bool:
        going = account.id in state.liquidations
        if not going and not account.positions:
            return False
        risk = state.margin_of(account)
        now = stage(risk.equity, risk.maintenance)
        # What the insurance fund cannot sell to anybody stays with it, and is tried again after a pause.
        tried_again = now is Stage.AUCTION or account.id == INSURANCE
        if (going and now is not Stage.NONE and tried_again) or (not going and now is Stage.NONE):
            return False
        return bool(known(state, account, at))
