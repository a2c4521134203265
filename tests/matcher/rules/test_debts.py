"""A debt without a position is paid at once: nobody stays below zero, and withdrawals go on by themselves."""

import pytest

from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.debt_events import DebtAwaited, DebtCovered, came_to
from core.postings import postings
from core.quantities import SECOND
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import dump, load, state_hash

FORCED = c.DelistMarket(1, force=True, who="ada", why="its source is gone")


@pytest.fixture
def left(world):
    """A delisting leaves a loser below zero: who won has passed its gain on before, and the fund has nothing."""
    maker, other, loser, idle = (
        world.agent(1, 10**11),
        world.agent(2, 10**11),
        world.agent(3, 1_300_000_000),
        world.agent(4, 5 * 10**9),
    )
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(loser, "in", 1, 10_000, 600_000)
    world.now += SECOND
    world.index(1, 540_000)
    world.quotes(other, [], [(540_000, 10_000)])
    world.request(maker, "out", 1, 10_000, 540_000)
    assert world.held(maker) == (0, 0)
    debt = -world.state.margin_of(world.state.accounts[loser]).equity
    (end,) = [event for event in world.play(FORCED) if isinstance(event, e.MarketSettled)]
    assert (end.uncovered, world.balance(loser)) == (debt, -debt)
    return maker, other, loser, idle, debt


def covered(events):
    return [event for event in events if isinstance(event, DebtCovered)]


def test_what_a_delisting_leaves_is_paid_by_the_treasury_and_by_all_who_have_something(world, left, replayed):
    maker, other, loser, idle, debt = left
    assert below_zero(world.state) == [loser]
    assert world.refuse(c.ReserveWithdrawal(idle, 1_000_000, "w")) == "withdrawals_gated"
    treasury = world.treasury
    (paid,) = covered(world.pass_time(0))
    assert (paid.account, paid.debt, paid.fund, paid.treasury, paid.left) == (loser, debt, 0, treasury, 0)
    assert [account for account, _ in paid.shares] == [maker, other, idle]
    assert sum(amount for _, amount in paid.shares) == debt - treasury
    moved = {posting.debit: posting.amount for posting in postings(paid)}
    assert moved == {TREASURY: treasury, **dict(paid.shares)}
    assert (world.balance(loser), world.treasury) == (0, 0)
    assert world.state.next_deadline() > world.now
    world.play(c.ReserveWithdrawal(idle, 1_000_000, "w"))
    assert (
        state_hash(replayed(world.journal)) == state_hash(load(dump(world.state))) == state_hash(world.state)
    )


def test_the_insurance_fund_pays_first_and_keeps_its_floor(world, left):
    *_, loser, _, debt = left
    world.play(c.SetInsuranceFloor(1_000))
    world.play(c.CreditDeposit(INSURANCE, debt + 500, "fund"))
    (paid,) = covered(world.pass_time(0))
    assert (paid.fund, paid.treasury, paid.shares) == (debt - 500, 500, ())
    assert (world.balance(INSURANCE), world.balance(loser)) == (1_000, 0)


def test_each_is_told_its_own_part(world, left):
    _, _, loser, idle, debt = left
    (paid,) = covered(world.pass_time(0))
    assert e.concerns(paid)[0] == loser
    assert set(e.concerns(paid)) == {loser, *(account for account, _ in paid.shares)}
    own, others = e.seen_by(paid, loser), e.seen_by(paid, idle)
    assert came_to(own, loser) == debt
    assert own.shares == ((0, debt - paid.treasury),)
    assert others.shares == ((idle, -came_to(paid, idle)),)
    assert (others.account, others.debt, others.fund, others.treasury) == (0, 0, 0, 0)
    assert came_to(others, idle) == came_to(paid, idle) < 0


def test_a_debt_that_nobody_can_pay_waits_for_money_and_is_paid_when_it_comes(world):
    maker, loser = world.agent(1, 10**10), world.agent(2, 1_300_000_000)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(loser, "in", 1, 10_000, 600_000)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.record(e.DepositCredited(world.now, loser, -2 * 10**9, "a loss from nowhere"))
    world.play(FORCED)
    world.record(e.DepositCredited(world.now, maker, -world.balance(maker), "another"))
    debt, treasury = -world.balance(loser), world.treasury
    assert debt > 0
    events = world.pass_time(0)
    (paid,) = covered(events)
    assert (paid.treasury, paid.shares, paid.left) == (treasury, (), debt - treasury)
    assert isinstance(events[-1], DebtAwaited)
    assert below_zero(world.state) == [loser]
    assert world.state.next_deadline() > world.now
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    (paid,) = covered(world.pass_time(0))
    assert (paid.fund, paid.left, world.balance(loser)) == (debt - treasury, 0, 0)
    assert below_zero(world.state) == []
