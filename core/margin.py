"""Simple cross margin: the initial requirement at each market's highest leverage, unrealized profit and loss counted."""

from collections.abc import Mapping
from typing import Self

import msgspec

from core.market import Market
from core.position import Position
from core.quantities import MILLION, divide_up

WITHDRAWAL_NOTIONAL_SHARE = 10
"""A withdrawal must leave at least a tenth of the notional: unrealized profit cannot be drawn out against itself."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A market's mark as positions need it: its ticks, the micro-USDC that one lot is worth, and the millionths of a micro-USDC that
    one lot requires."""

    price: int
    value_per_lot: int
    requirement_per_lot: int

    @classmethod
    def of(cls, market: Market, price: int) -> Self:
        """The mark of `market` at `price` ticks; exact."""
        value = price * market.value_per_tick_lot
        return cls(price, value, value * market.initial_fraction)

    def requirement(self, size: int) -> int:
        """Micro-USDC that a position of `size` lots requires, rounded up."""
        return -(-abs(size) * self.requirement_per_lot // MILLION)


class Margin(msgspec.Struct, frozen=True, gc=False):
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


def margin(balance: int, positions: Mapping[int, Position], marks: Mapping[int, Mark]) -> Margin:
    """Margin of a cross account, its positions valued at `marks`; each position's requirement is rounded up."""
    equity, requirement, notional = balance, 0, 0
    for market, held in positions.items():
        mark = marks[market]
        value = held.size * mark.value_per_lot
        equity += value - held.cost
        notional += abs(value)
        requirement += mark.requirement(held.size)
    return Margin(equity, requirement, notional)


def trade_is_affordable(before: int, after: int, equity: int, requirement: int) -> bool:
    """Whether an account may hold `after` lots having held `before`, with this equity and requirement after the trade.

    Any trade that leaves enough equity is affordable; one that only shrinks the position is as long as equity stays above zero.
    """
    if equity >= requirement:
        return True
    shrinks = abs(after) < abs(before) and before * after >= 0
    return shrinks and equity >= 0
