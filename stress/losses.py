"""Who bore what in liquidations, told by their records alone: the insurance fund, and the accounts that were deleveraged."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from core.accounts import INSURANCE
from core.debt_events import DebtCovered
from core.events import (
    DepositCredited,
    Event,
    Filled,
    FundingSettled,
    IndexUpdated,
    MarketListed,
    MarkUpdated,
)
from core.exit_events import ExitMatured
from core.funding_events import paid_by
from core.liquidation_events import Deleveraged, Handover, LiquidationEnded, LiquidationSliced, TakenOver
from core.loss_limit_events import LossLimitsSeen
from core.operator_events import DelistingAnnounced, MarketSettled
from core.settlement_price import WINDOW
from matcher.state import Exchange

NEVER = 1 << 100
"""An instant after all others."""
CLOSED = ("taken_over", "deleveraged")
"""Ends of a liquidation after which an account has nothing, not even something owed."""


class Split(msgspec.Struct):
    """What liquidations came to, in micro-USDC; nothing is negative but `inventory` and `funding`.

    The fund got `paid_in`, `fees` of auctions and the `margins` that accounts above zero still had when it took them over, and paid
    the `deficits` of those below. `inventory` is what its positions brought from the marks at which it took them to those at
    which it sold or has them, `funding` what funding brought it; `relief` is what deleveraged agents paid of its own deficits.
    `deleveraged` is the value at the mark of what agents closed that way; by it they `got` margins of others and `gave` what they
    had won.
    """

    paid_in: int = 0
    fees: int = 0
    margins: int = 0
    deficits: int = 0
    inventory: int = 0
    funding: int = 0
    relief: int = 0
    deleveraged: int = 0
    got: int = 0
    gave: int = 0

    @property
    def fund(self) -> int:
        """What the insurance fund has according to the rest."""
        earned = self.fees + self.margins + self.inventory + self.funding + self.relief
        return self.paid_in + earned - self.deficits


class Losses:
    """Hears every record in order. `unexplained` are sentences about liquidations whose steps do not add up.

    Whose owner ever kept something back, by a limit or by leaving, has less margin than it is worth; and in a market's last hour a
    position counts for less than its mark shows. What the steps there leave follows from no record alone, so only their end is
    checked; what accounts are worth is explained by their trades (`stress.books`).
    """

    def __init__(self) -> None:
        self.unexplained: list[str] = []
        self._split = Split()
        self._tick_values: dict[int, int] = {}
        self._stock: Counter[int] = Counter()
        self._left: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._bound: set[int] = set()

    def enter(self, event: Event) -> None:
        """Take a record into account; records of anything else change nothing."""
        split = self._split
        match event:
            case MarketListed(market=market):
                self._tick_values[market.id] = market.value_per_tick_lot
            case IndexUpdated() | MarkUpdated():
                # What an account should have left is known only as long as marks stand still.
                self._left.clear()
            case FundingSettled() as funding:
                self._left.clear()
                split.funding += funding.insurance - paid_by(funding, INSURANCE)
            case DepositCredited(account=account, amount=amount) if account == INSURANCE:
                split.paid_in += amount
            case Filled() as fill:
                self._filled(fill)
            case DebtCovered(fund=fund, shares=shares):
                split.deficits += fund
                split.gave += sum(amount for _, amount in shares)
            case LiquidationSliced(fee=fee):
                split.fees += fee
            case LossLimitsSeen(parts=parts):
                self._bound.update(id for id, _, _ in parts)
            case ExitMatured(account=account):
                self._bound.add(account)
            case DelistingAnnounced(market=id, settles_at=settles_at):
                self._ends[id] = settles_at
            case MarketSettled() as end:
                self._settled(end)
            case TakenOver() as step:
                self._handed(step, step.parts)
            case Deleveraged() as step:
                lots, value = sum(part.size for part in step.parts), sum(part.value for part in step.parts)
                if step.account != INSURANCE and (lots, value) != (step.size, step.value):
                    self._note(step, f"{lots} lots for {value} instead of {step.size} for {step.value}")
                self._handed(step, step.parts)
            case LiquidationEnded(account=account, why=why) if why in CLOSED and account != INSURANCE:
                self._expect(event)
                if event.equity:
                    self._note(event, f"ended with {event.equity}")

    def split(self, state: Exchange) -> Split:
        """Everything up to now, with what the fund holds at the exchange's marks."""
        held = sum(lots * state.marks[market].value_per_lot for market, lots in self._stock.items() if lots)
        return msgspec.structs.replace(self._split, inventory=self._split.inventory + held)

    def _settled(self, end: MarketSettled) -> None:
        """Whoever owes at the end is paid for by the fund, then by those who gained; the fund's own position ends like any other."""
        self._left.clear()
        split, tick_value = self._split, self._tick_values[end.market]
        for one in end.positions:
            split.gave += max(0, -one.shared)
            if one.account == INSURANCE:
                split.inventory += one.size * end.price * tick_value
                self._stock[end.market] -= one.size
        split.deficits += end.fund

    def _filled(self, fill: Filled) -> None:
        for account, side in ((fill.taker, fill.side), (fill.maker, -fill.side)):
            if account == INSURANCE:
                self._stock[fill.market] += side * fill.size
                self._split.inventory -= side * fill.size * fill.price * self._tick_values[fill.market]
        if fill.taker == INSURANCE:
            self._split.inventory -= fill.fee

    def _handed(self, step: TakenOver | Deleveraged, parts: Iterable[Handover]) -> None:
        """Every lot changed hands at its mark, and besides the giver gave up the difference to what was paid for it."""
        if step.account != INSURANCE:
            self._expect(step)
        split, to_fund, given = self._split, 0, 0
        for part in parts:
            worth = part.size * part.mark * self._tick_values[part.market]
            gift = worth - part.value
            given += gift
            if part.other == INSURANCE:
                to_fund += gift
                self._stock[part.market] += part.size
                split.inventory -= worth
            else:
                split.deleveraged += abs(worth)
                split.got += max(0, gift)
                split.gave += max(0, -gift)
            if step.account == INSURANCE:
                self._stock[part.market] -= part.size
                split.inventory += worth
        split.margins += max(0, to_fund)
        split.deficits += max(0, -to_fund)
        if step.account == INSURANCE:
            split.relief -= given
        self._left[step.liquidation] = step.equity - given
        if any(step.at > self._ends.get(part.market, NEVER) - WINDOW for part in parts):
            del self._left[step.liquidation]

    def _expect(self, step: TakenOver | Deleveraged | LiquidationEnded) -> None:
        """With marks as they were, an account has what the step before left it."""
        expected = self._left.pop(step.liquidation, step.equity)
        if expected != step.equity and step.account not in self._bound:
            self._note(step, f"has {step.equity} instead of {expected}")

    def _note(self, step: TakenOver | Deleveraged | LiquidationEnded, what: str) -> None:
        self.unexplained.append(f"liquidation {step.liquidation} of account {step.account}: {what}")
