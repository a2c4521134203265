"""Records about what the chain holds, and how far it is behind, into state."""

from typing import Final

from core.accounts import INSURANCE
from core.custody_events import ChainAccepted, ExitDelaySeen, SettlementLate, StrayClaimed
from core.event import Event
from matcher.apply_book import Applier
from matcher.apply_exits import suspect_family
from matcher.state import Exchange


def _exit_delay_seen(state: Exchange, event: ExitDelaySeen) -> None:
    state.custody.exit_delay, state.custody.limit_delay = event.seconds, event.limit_delay


def _settlement_late(state: Exchange, event: SettlementLate) -> None:
    state.custody.late = event.late


def _chain_accepted(state: Exchange, event: ChainAccepted) -> None:
    for part in event.slots:
        account = state.accounts[part.account]
        account.settled += part.change
        account.unapplied += part.unapplied
        account.foreign = max(account.foreign, part.withdrawal)
        # A withdrawal that nobody here ordered may have left it below zero.
        state.watch.suspect(part.account)
        suspect_family(state, part.account)
    custody = state.custody
    custody.left_over, custody.astray = event.left_over, event.astray
    custody.strangers = list(event.strangers)
    if event.lost:
        state.post(state.accounts[INSURANCE], -event.lost)
        state.paid_out += event.lost
        # What was stolen is no loss of the fund's own doing, which is bounded by the day.
        state.fund_began -= event.lost
        state.watch.suspect(INSURANCE)


def _stray_claimed(state: Exchange, event: StrayClaimed) -> None:
    state.custody.stray_claims[event.key] = event.amount


CUSTODY_APPLIERS: Final[dict[type[Event], Applier]] = {
    ExitDelaySeen: _exit_delay_seen,
    SettlementLate: _settlement_late,
    ChainAccepted: _chain_accepted,
    StrayClaimed: _stray_claimed,
}
