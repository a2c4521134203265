"""What stops by itself: withdrawals while somebody is below zero, and growth that is too fast. Changes nothing."""

from core.events import Event, MarketStatusSet
from core.market import MarketStatus
from core.open_interest import followed, jumped
from core.operator_events import EXCHANGE, OpenInterestJumped
from matcher.state import Exchange


def withdrawals_gated(state: Exchange) -> str:
    """Why no withdrawal is reserved now; empty when they are."""
    if state.breakers.held:
        return "The operator holds withdrawals."
    return "An account is below zero: withdrawals go on once its debt is paid." if in_debt(state) else ""


def in_debt(state: Exchange) -> bool:
    """Whether an account is known to be below zero."""
    return bool(debtors(state))


def debtors(state: Exchange) -> list[int]:
    """The accounts that are known to be below zero, ascending.

    Costs what the accounts cost that are being liquidated or were seen below zero by the last cut: almost always none.
    """
    suspects = state.breakers.negative | state.liquidations.keys()
    return sorted(id for id in suspects if state.margin_of(state.accounts[id]).equity < 0)


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
