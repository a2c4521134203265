"""Whoever bears a loss is told by the records; steps that do not add up are noticed."""

from msgspec.structs import replace

from core.accounts import INSURANCE
from core.events import DepositCredited, IndexUpdated, MarketListed
from core.liquidation_events import Deleveraged, FundStanding, Handover, LiquidationEnded, TakenOver
from matcher.state import Exchange
from stress.losses import Losses
from stress.markets import MARKETS

SOL = MARKETS["SOL-PERP"]
TICK = SOL.value_per_tick_lot
FUND = FundStanding(0, 0, 0)


def part(other: int, size: int, price: int, mark: int = 100) -> Handover:
    return Handover(other, SOL.id, mark, size, size * price * TICK, 0, 0, 0, 0)


def deleveraged(account: int, equity: int, size: int, price: int, *parts: Handover) -> Deleveraged:
    value = size * price * TICK
    return Deleveraged(1, 7, account, equity, 1, FUND, SOL.id, 100, size, value, False, 0, parts)


def heard(*events) -> Losses:
    losses = Losses()
    for event in (MarketListed(1, SOL), DepositCredited(1, INSURANCE, 50, "x"), *events):
        losses.enter(event)
    return losses


def test_what_the_fund_and_winners_pay_is_told_apart():
    taken = TakenOver(1, 6, 16, -30 * TICK, 1, FUND, (part(INSURANCE, 10, 103),))
    closed = deleveraged(17, -8 * TICK, 4, 102, part(18, 4, 102))
    own = deleveraged(INSURANCE, -20 * TICK, 10, 102, part(18, 10, 102))
    losses = heard(taken, closed, LiquidationEnded(1, 7, 17, "deleveraged", 0, 0), own)
    split = losses.split(Exchange())
    assert losses.unexplained == []
    assert (split.deficits, split.gave, split.relief) == (30 * TICK, 28 * TICK, 20 * TICK)
    # Ten lots came and went at the same mark.
    assert (split.inventory, split.deleveraged) == (0, 14 * 100 * TICK)
    assert split.fund == 50 - 10 * TICK


def test_accounts_that_keep_or_owe_something_are_found():
    step = deleveraged(17, -8 * TICK, 4, 102, part(18, 4, 102))
    ended = LiquidationEnded(1, 7, 17, "deleveraged", 0, 0)
    assert heard(replace(step, equity=-7 * TICK), ended).unexplained != []
    assert heard(step, replace(ended, equity=-1)).unexplained != []
    assert heard(replace(step, size=5), ended).unexplained != []
    moved = IndexUpdated(1, SOL.id, 99, 0, 0, "x")
    assert heard(replace(step, equity=-7 * TICK), moved, ended).unexplained == []
