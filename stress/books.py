"""Every account's cash and lots, kept from the journal's records alone: no costs, no realized profit, no sum of the engine's."""

from collections import Counter, defaultdict

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtCovered
from core.events import (
    DepositCredited,
    Event,
    Filled,
    FundingSettled,
    MarketListed,
    WithdrawalFinished,
    WithdrawalReserved,
)
from core.exit_events import ExitClaimed
from core.liquidation_events import Deleveraged, LiquidationSliced, TakenOver
from core.operator_events import MarketSettled
from matcher.state import Exchange


class Books:
    """What accounts paid and got for what they traded, in micro-USDC, and the lots that they are left with."""

    def __init__(self) -> None:
        self._cash: Counter[int] = Counter()
        self._lots: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._tick_values: dict[int, int] = {}

    def enter(self, event: Event) -> None:
        """Take a record into account; records that move neither money nor lots change nothing."""
        match event:
            case MarketListed(market=market):
                self._tick_values[market.id] = market.value_per_tick_lot
            case DepositCredited(account=account, amount=amount):
                self._cash[account] += amount
            case WithdrawalReserved(account=account, amount=amount):
                self._cash[account] -= amount
            case WithdrawalFinished(account=account, amount=amount, paid=False):
                self._cash[account] += amount
            case ExitClaimed(account=account, amount=amount):
                self._cash[account] -= amount
            case Filled() as fill:
                lots = fill.side * fill.size
                value = lots * fill.price * self._tick_values[fill.market]
                self._trade(fill.taker, fill.maker, fill.market, lots, value)
                self._pay(fill.taker, TREASURY, fill.fee)
            case FundingSettled() as funding:
                for account, amount in funding.payments:
                    self._cash[account] -= amount
                self._cash[TREASURY] += funding.treasury
                self._cash[INSURANCE] += funding.insurance
            case DebtCovered(account=account) as paid:
                for payer, amount in ((INSURANCE, paid.fund), (TREASURY, paid.treasury), *paid.shares):
                    self._pay(payer, account, amount)
            case LiquidationSliced(account=account, fee=fee):
                self._pay(account, INSURANCE, fee)
            case TakenOver(account=account, parts=parts) | Deleveraged(account=account, parts=parts):
                for part in parts:
                    self._trade(part.other, account, part.market, part.size, part.value)
            case MarketSettled() as end:
                for one in end.positions:
                    value = one.size * end.price * self._tick_values[end.market]
                    self._cash[one.account] += value + one.shared
                    self._lots[one.account][end.market] -= one.size
                self._cash[INSURANCE] -= end.fund

    def _trade(self, buyer: int, seller: int, market: int, lots: int, value: int) -> None:
        """`lots` go to the buyer for `value`, both signed alike."""
        self._pay(buyer, seller, value)
        self._lots[buyer][market] += lots
        self._lots[seller][market] -= lots

    def _pay(self, payer: int, receiver: int, amount: int) -> None:
        self._cash[payer] -= amount
        self._cash[receiver] += amount

    def worth(self, account: int, state: Exchange) -> int:
        """The account's equity at the exchange's marks."""
        lots = self._lots[account]
        return self._cash[account] + sum(
            held * state.marks[id].value_per_lot for id, held in lots.items() if held
        )
