"""Equity and requirements of an account over its positions, what a trade does to them, and whether it may."""

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from core.margin_terms import Step
from core.position import Position, trade
from core.quantities import MILLION, divide_up

NO_FURTHER_TIER: Final = 1 << 100
WITHDRAWAL_NOTIONAL_SHARE: Final = 10
"""A withdrawal must leave at least a tenth of the notional: unrealized profit cannot be drawn out against itself."""


class RiskMark(msgspec.Struct, frozen=True, gc=False):
    """A market's mark as margin needs it.

    `value_per_lot` is micro-USDC. `initial` and `maintenance` are the first tier's fractions in parts per million; they hold up to the
    notional whose negative (micro-USDC) is `first_tier`, and larger positions go through `steps`.
    """

    value_per_lot: int
    initial: int
    maintenance: int
    first_tier: int
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, steps: tuple[Step, ...], value_per_lot: int) -> Self:
        """The mark at which one lot is worth `value_per_lot` micro-USDC (positive)."""
        first = steps[0]
        above = steps[1].above if len(steps) > 1 else NO_FURTHER_TIER
        return cls(value_per_lot, first.initial, first.maintenance, -above, steps)

    def step_of(self, notional: int) -> Step:
        """The tier in which a position of this notional ends."""
        steps = self.steps
        place = len(steps) - 1
        while notional < steps[place].above:
            place -= 1
        return steps[place]

    def initial_of(self, size: int) -> int:
        """Initial requirement of a position of `size` lots, micro-USDC, rounded up."""
        # Minus the notional: dividing a negative number down rounds what is required up. Every fill comes by here twice.
        owed = -abs(size) * self.value_per_lot
        if owed >= self.first_tier:
            return -(owed * self.initial // MILLION)
        return self.step_of(-owed).initial_of(-owed)

    def most_required(self, size: int) -> int:
        """What a trade of `size` lots (positive) can at most add to initial requirements, millionths of a micro-USDC."""
        return size * self.value_per_lot * self.steps[-1].initial

    def maintenance_of(self, size: int) -> int:
        """Maintenance requirement of a position of `size` lots, micro-USDC, rounded up; never above the initial one."""
        notional = abs(size) * self.value_per_lot
        return self.step_of(notional).maintenance_of(notional)


class AccountRisk(msgspec.Struct, frozen=True, gc=False):
    """Micro-USDC: `equity` is balance plus unrealized profit and loss; both requirements are sums of positions', each rounded up."""

    equity: int
    initial: int
    maintenance: int
    notional: int

    @property
    def available(self) -> int:
        """Equity that the initial requirement leaves; negative when nothing may be opened."""
        return self.equity - self.initial

    @property
    def withdrawable(self) -> int:
        """What may leave: equity above both the initial requirement and a tenth of the notional (rounded up); never negative.

        Unrealized profit counts, but cannot be drawn out against itself. Source: Hyperliquid's transfer requirement.
        """
        kept = max(self.initial, divide_up(self.notional, WITHDRAWAL_NOTIONAL_SHARE))
        return max(0, self.equity - kept)

    @property
    def may_open(self) -> bool:
        """Whether the account meets its initial requirement."""
        return self.equity >= self.initial

    @property
    def liquidatable(self) -> bool:
        """Whether liquidation may start: something is held and equity is below its maintenance requirement."""
        return self.equity < self.maintenance and self.maintenance > 0

    def holding(self, size: int, cost: int, mark: RiskMark, end: int | None = None) -> "AccountRisk":
        """The same account holding one more position of `size` lots that cost `cost` micro-USDC; `end` as in `counts_for`."""
        return AccountRisk(
            self.equity + counts_for(size, mark.value_per_lot, end) - cost,
            self.initial + mark.initial_of(size),
            self.maintenance + mark.maintenance_of(size),
            self.notional + abs(size) * mark.value_per_lot,
        )


def account_risk(
    balance: int, positions: Mapping[int, Position], marks: Mapping[int, RiskMark], leaving_out: int = 0
) -> AccountRisk:
    """Risk of an account, cross or isolated (one that holds a single position), its positions valued at `marks`.

    The position in the market `leaving_out` is not counted: a trade in it will replace it.
    """
    equity, initial, maintenance, notional = balance, 0, 0, 0
    for market, held in positions.items():
        if market != leaving_out:
            mark = marks[market]
            worth = held.size * mark.value_per_lot
            equity += worth - held.cost
            # From here on minus the notional: dividing a negative number down rounds what is required up.
            if worth > 0:
                worth = -worth
            notional -= worth
            if worth >= mark.first_tier:
                initial -= worth * mark.initial // MILLION
                maintenance -= worth * mark.maintenance // MILLION
            else:
                step = mark.step_of(-worth)
                initial += step.initial_of(-worth)
                maintenance += step.maintenance_of(-worth)
    return AccountRisk(equity, initial, maintenance, notional)


def equity_at(balance: int, positions: Mapping[int, Position], marks: Mapping[int, RiskMark]) -> int:
    """The equity of `account_risk` alone, which takes a third of the time: what a batch settles, of every account."""
    return balance + sum(
        [held.size * marks[market].value_per_lot - held.cost for market, held in positions.items()]
    )


def counts_for(size: int, value_per_lot: int, end: int | None) -> int:
    """Micro-USDC that `size` lots (signed, and so is the result) count for: at the mark's `value_per_lot`, or at the `end` at which
    their market would settle, in its last hour (None: it is not), whichever is worse for who holds them."""
    at_mark = size * value_per_lot
    return at_mark if end is None else min(at_mark, size * end)


def trade_is_allowed(held: int, holds: int, before: AccountRisk, after: AccountRisk) -> bool:
    """Whether a trade may take an account from `held` to `holds` lots, its risk going from `before` to `after`.

    Any trade that leaves the initial requirement met is allowed, so what was just allowed to open can never be liquidated at the same
    mark. One that only shrinks the position is allowed as long as equity per unit of maintenance does not fall: a losing account may
    get out, but not by giving its equity away. Source: dYdX v4's rule for transitions of undercollateralized subaccounts.
    """
    if after.may_open:
        return True
    shrinks = abs(holds) < abs(held) and held * holds >= 0
    return shrinks and after.equity * before.maintenance >= before.equity * after.maintenance


class TradePreview(msgspec.Struct, frozen=True):
    """What a hypothetical trade would do to an account: its position, the profit realized before fees, and its risk around it."""

    size: int
    cost: int
    realized: int
    before: AccountRisk
    after: AccountRisk
    allowed: bool


def preview(
    elsewhere: AccountRisk,
    held: Position,
    change: int,
    value_per_lot: int,
    fee: int,
    mark: RiskMark,
    end: int | None = None,
) -> TradePreview:
    """The effect of trading `change` lots (signed) at `value_per_lot` micro-USDC for `fee` micro-USDC.

    `elsewhere` is the account without its position in this market, `held` that position (zero lots when there is none). It is the same
    arithmetic as the check before a fill; in the market's last hour with what a lot would settle at, `end`.
    """
    size, cost, realized = trade(held.size, held.cost, change, value_per_lot)
    before = elsewhere.holding(held.size, held.cost, mark, end)
    paid = msgspec.structs.replace(elsewhere, equity=elsewhere.equity + realized - fee)
    after = paid.holding(size, cost, mark, end)
    return TradePreview(size, cost, realized, before, after, trade_is_allowed(held.size, size, before, after))
