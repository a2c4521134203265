"""Simple cross margin: the initial requirement at each market's highest leverage, unrealized profit and loss counted."""

from collections.abc import Iterable
from typing import NamedTuple

from core.quantities import MILLION, divide_up, share_up

WITHDRAWAL_NOTIONAL_SHARE = 10
"""A withdrawal must leave at least a tenth of the notional: unrealized profit cannot be drawn out against itself."""


class Held(NamedTuple):
    """A position with what is needed to value it: micro-USDC per lot at the mark, and its market's initial fraction (ppm)."""

    size: int
    cost: int
    value_per_lot: int
    initial_fraction: int


class Margin(NamedTuple):
    """Micro-USDC: `equity` is balance plus unrealized profit and loss; `requirement` is rounded up."""

    equity: int
    requirement: int
    notional: int

    @property
    def available(self) -> int:
        """Equity that is not required; negative when the account could not open anything."""
        return self.equity - self.requirement

    @property
    def withdrawable(self) -> int:
        """What may leave: equity above both the requirement and a tenth of the notional (rounded up); never negative."""
        kept = max(self.requirement, divide_up(self.notional, WITHDRAWAL_NOTIONAL_SHARE))
        return max(0, self.equity - kept)


def margin(balance: int, positions: Iterable[Held]) -> Margin:
    """Margin of a cross account; each position's requirement is rounded up."""
    equity, requirement, notional = balance, 0, 0
    for held in positions:
        value = held.size * held.value_per_lot
        equity += value - held.cost
        notional += abs(value)
        requirement += share_up(abs(value), held.initial_fraction)
    return Margin(equity, requirement, notional)


def trade_is_affordable(before: int, after: int, equity: int, requirement: int) -> bool:
    """Whether an account may hold `after` lots having held `before`, with this equity and requirement after the trade.

    Any trade that leaves enough equity is affordable; one that only shrinks the position is as long as equity stays above zero.
    """
    if equity >= requirement:
        return True
    shrinks = abs(after) < abs(before) and before * after >= 0
    return shrinks and equity >= 0


def leverage_ppm(margin: Margin) -> int:
    """Notional over equity in parts per million, rounded up; 0 without equity."""
    return divide_up(margin.notional * MILLION, margin.equity) if margin.equity > 0 else 0
