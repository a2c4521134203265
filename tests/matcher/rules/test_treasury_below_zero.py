"""The treasury below zero: it has paid a debt, and the chain then paid its owner what it still held for it. That is seen at once, and
paid by who comes after it."""

import pytest

from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered
from core.liquidation_events import ReviewAsked
from core.operator_events import SharingOrdered
from core.quantities import SECOND
from matcher import commands as c
from matcher.gates import below_zero, debt_gate
from matcher.image import dump, load
from matcher.watch import UNPAID_PAUSE

HAD = 100_000_000
DEBT = 60_000_000


@pytest.fixture
def short(world):
    """An account's debt of 60 USDC was the treasury's to pay; the chain held 100 for its owner, and pays it all before the next batch.

    One account holds nothing. The world goes on at the treasury's debt.
    """
    world.play(c.CreditDeposit(TREASURY, HAD, "treasury"))
    debtor, idle = world.agent(1, 1), world.agent(2, 10**9)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.play(c.ClaimExit(debtor, DEBT + 1, "claim:debtor:0"))
    (paid,) = world.pass_time(0)
    assert (paid.account, paid.treasury, paid.left) == (debtor, DEBT, 0)
    assert (world.treasury, world.state.accounts[TREASURY].settled) == (HAD - DEBT, HAD)
    world.play(c.ClaimExit(TREASURY, HAD, "claim:treasury:0"))
    assert world.treasury == -DEBT
    return world, idle


def test_it_is_below_zero_at_once_and_the_fund_pays(short):
    world, idle = short
    assert below_zero(world.state) == below_zero(load(dump(world.state))) == [TREASURY]
    assert world.refuse(c.ReserveWithdrawal(idle, 1, "w")) == "withdrawals_gated"
    world.play(c.CreditDeposit(INSURANCE, DEBT + 1, "fund"))
    assert world.pass_time(0) == [DebtCovered(world.now, TREASURY, DEBT, DEBT, 0, (), 0)]
    assert (world.treasury, world.balance(INSURANCE), debt_gate(world.state)) == (0, 1, "")
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_those_with_positions_pay_what_the_fund_has_not(short):
    world, idle = short
    whale, holder = world.agent(3, 10**12), world.agent(4, 10**9)
    world.quotes(whale, [], [(300_000, 1)], market=2)
    world.request(holder, "hold", 1, 1, 300_000, market=2)
    owed = -world.treasury
    assert 0 < owed < DEBT  # The fee of that fill has paid some of it.
    (paid,) = [event for event in world.pass_time(0) if isinstance(event, DebtCovered)]
    assert (paid.account, paid.debt, paid.fund, paid.left) == (TREASURY, owed, 0, 0)
    assert [account for account, _ in paid.shares] == [whale, holder]
    assert (world.balance(idle), world.treasury) == (10**9, 0)


def test_what_nobody_pays_waits_for_fees_a_deposit_or_the_operator(short):
    world, idle = short
    assert world.pass_time(0) == [DebtAwaited(world.now, TREASURY)]
    assert isinstance(world.play(c.ReviewAccount(TREASURY))[0], ReviewAsked)
    world.pass_time(0)
    shared, paid = world.play(c.ShareDebt(TREASURY, who="ada", why="nobody else"))
    assert isinstance(shared, SharingOrdered)
    assert (paid.shares, paid.left, world.treasury) == (((idle, DEBT),), 0, 0)


def test_fees_that_pay_it_leave_no_debt_to_be_paid(short):
    world, idle = short
    state = world.state
    below_zero(state)
    assert state.watch.debtors == {TREASURY}
    maker, taker = world.agent(3, 10**13), world.agent(4, 10**12)
    world.quotes(maker, [], [(600_000, 200_000)])
    world.request(taker, "k", 1, 200_000, 600_000)
    assert world.treasury > 0
    assert not [event for event in world.pass_time(0) if isinstance(event, DebtCovered)]
    assert debt_gate(state) == ""
    world.play(c.ReserveWithdrawal(idle, 1, "w"))
    world.now += UNPAID_PAUSE + SECOND
    world.index(1, 600_000)
    assert not state.watch.unpaid
