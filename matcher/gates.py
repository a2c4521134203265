"""What stops by itself: withdrawals while somebody is below zero, and growth that is too fast. Changes nothing."""

from core.events import Event, MarketStatusSet
from core.market import MarketStatus
from core.open_interest import followed, jumped
from core.operator_events import EXCHANGE, OpenInterestJumped
from matcher.state import Exchange


def below_zero(state: Exchange) -> list[int]:
    """Every account that is below zero as things stand, ascending. Costs what these cost, and those that were at their last look."""
    state.watch.look(state)
    return sorted(id for id in state.watch.below_zero if state.margin_of(state.accounts[id]).equity < 0)


def withdrawals_gated(state: Exchange) -> str:
    """Why no withdrawal is reserved now; empty when they are."""
    return "The operator holds withdrawals." if state.breakers.held else debt_gate(state)


def debt_gate(state: Exchange) -> str:
    """Why nothing may leave an account's collateral because of what others owe; empty when it may."""
    owing = below_zero(state)
    if state.watch.behind:
        return "Accounts are being looked at whether one is below zero: withdrawals go on in a moment."
    if owing:
        return "An account is below zero: withdrawals go on once its debt is paid."
    return ""


def open_interest_alarm(state: Exchange, market: int, open_interest: int, at: int) -> list[Event]:
    """What a market's alarm does when its open interest becomes `open_interest` lots; nothing as long as that is no jump."""
    listed, before = state.markets[market], state.open_interest[market]
    alarm = listed.alarm
    if alarm is None or open_interest <= before:
        return []
    lowest = followed(state.breakers.lows[market], before, open_interest, at, alarm.window).lowest
    if not jumped(lowest, open_interest, listed.open_interest_cap, alarm.share):
        return []
    said: list[Event] = [OpenInterestJumped(at, market, lowest, open_interest)]
    if alarm.only_reduces and state.statuses[market] == MarketStatus.OPEN:
        why = f"open interest rose from {lowest} to {open_interest} lots too fast"
        said.append(MarketStatusSet(at, market, MarketStatus.REDUCE_ONLY, EXCHANGE, why))
    return said
