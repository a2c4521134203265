"""Changing a position, and what is kept of its account for speed."""

from core.accounts import INSURANCE
from core.position import Position
from matcher.account import UNVALUED, Account
from matcher.state import Exchange


def hold(state: Exchange, account: Account, market: int, change: int, cost: int) -> int:
    """Change a position; returns by how many lots it is longer than before (a short counts as none)."""
    held = account.positions.get(market)
    if held is None:
        held = account.positions[market] = Position(0, 0)
    sums = state.sums
    sums.costs += cost - held.cost
    sums.lots[market] = sums.lots.get(market, 0) + change
    before, funding = held.size, state.funding[market]
    if funding.unpaid or state.at >= funding.ends:
        funding.moves(account.id, before, state.at)
    after = before + change
    if market in state.ends:
        # What its mark overstates is not in proportion to a change: the account is valued anew when it next trades.
        account.valued = UNVALUED
    elif account.valued == state.marked:
        mark = state.marks[market]
        required = mark.initial_of(after)
        account.gain += change * mark.value_per_lot - cost + held.cost
        account.required += required - held.required
        held.required = required
    if after:
        held.size, held.cost = after, cost
    else:
        del account.positions[market]
    if (before > 0) is not (after > 0):
        _follow(state.longs, market, account.id, held if after > 0 else None)
    if (before < 0) is not (after < 0):
        _follow(state.shorts, market, account.id, held if after < 0 else None)
    if account.id == INSURANCE and before * after <= 0:
        # How far from the mark one position came to be offered says nothing of the next.
        state.book.sales.pop(market, None)
    return (after if after > 0 else 0) - (before if before > 0 else 0)


def _follow(side: dict[int, dict[int, Position]], market: int, account: int, held: Position | None) -> None:
    """An account comes to one side of a market, or leaves it."""
    if held is not None:
        side.setdefault(market, {})[account] = held
    else:
        del side[market][account]
