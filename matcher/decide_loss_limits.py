"""What owners' loss limits on chain leave settlement to take: beyond it nothing backs a trade."""

from typing import Final

from core.event import Event
from core.loss_limit_events import NO_LIMIT, LossLimitsSeen
from core.loss_limits import LossLimit
from core.quantities import MONEY_MAX
from matcher import commands as c
from matcher.account import Account
from matcher.exiting import family, leaving_of
from matcher.rejections import Code, Outcome, Rejection
from matcher.state import Exchange
from matcher.uncovering import quotes_uncovered

PULLED: Final = "loss_limit"
"""Why quotes go that a lower limit does not back."""


def see_loss_limits(state: Exchange, command: c.SeeLossLimits, at: int) -> Outcome:
    """Take note of what changed about limits, and withdraw the quotes that they do not back any more.

    What was seen before the last cut is ignored: another look comes soon. The exchange's own accounts have no limit here: what they
    pay is the operator's promise.
    """
    if command.batch != (state.cut.batch if state.cut is not None else 0):
        return []
    parts: list[tuple[int, int, int]] = []
    pulled: list[Event] = []
    for slot in command.slots:
        account = state.accounts.get(slot.account)
        if account is None or account.page < 0:
            return Rejection(Code.ACCOUNT_UNKNOWN, "The account has no slot on chain.")
        if not (slot.limit == NO_LIMIT or 0 <= slot.limit <= MONEY_MAX) or not 0 <= slot.left <= MONEY_MAX:
            return Rejection(Code.BAD_VALUE, "A limit, and what it leaves, are not negative.")
        if abs(slot.unapplied) > MONEY_MAX:
            return Rejection(Code.BAD_VALUE, "A sum of what batches did not do is out of range.")
        before = state.loss_limits.get(account.id)
        seen = (
            None
            if slot.limit == NO_LIMIT
            else LossLimit(slot.limit, _left(state, account, slot, command.landed))
        )
        if account.id not in state.owned or seen == before:
            continue
        parts.append((account.id, seen.limit, seen.left) if seen else (account.id, NO_LIMIT, 0))
        if seen is not None and (before is None or seen.left < before.left):
            for one in family(account):
                reach = state.reach_of(one, seen)
                pulled += quotes_uncovered(state, one, PULLED, at, leaving_of(state, one), reach)
    return [LossLimitsSeen(at, tuple(parts)), *pulled] if parts else []


def _left(state: Exchange, account: Account, slot: c.LimitedSlot, landed: bool) -> int:
    """What the limit leaves of what the books have settled: the page may have taken less than they know, or not come to it yet."""
    if landed:
        return slot.left - max(0, account.unapplied - slot.unapplied)
    return slot.left + min(0, state.cut.deltas.get(account.id, 0) if state.cut is not None else 0)
