"""A debt without a position is paid at once: nobody stays below zero, and withdrawals go on by themselves."""

from itertools import pairwise

import pytest

from core import events as e
from core.accounts import INSURANCE, TREASURY
from core.concerns import concerns, seen_by
from core.debt_events import DebtAwaited, DebtCovered, came_to
from core.liquidation_events import LiquidationStarted
from core.operator_events import MarketSettled, SharingOrdered
from core.postings import postings
from core.quantities import SECOND
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import dump, load, state_hash
from matcher.watch import UNPAID_PAUSE

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
    world.index(2, 300_000)
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
    (end,) = [event for event in world.play(FORCED) if isinstance(event, MarketSettled)]
    assert (end.uncovered, world.balance(loser)) == (debt, -debt)
    return maker, other, loser, idle, debt


def covered(events):
    return [event for event in events if isinstance(event, DebtCovered)]


def hold(world, *accounts):
    """Have these accounts hold something in the other market."""
    whale = world.agent(40, 10**12)
    for account in accounts:
        world.quotes(whale, [], [(300_000, 1)], market=2)
        world.request(account, "hold", 1, 1, 300_000, market=2)
    return whale


def share(world, loser):
    """An operator has those share, too, who hold nothing."""
    ordered, paid = world.play(c.ShareDebt(loser, who="ada", why="nobody else is left"))
    assert ordered == SharingOrdered(world.now, loser, "ada", "nobody else is left")
    return paid


def test_who_holds_nothing_pays_for_nobodys_debt_unless_an_operator_has_so_decided(world, left, replayed):
    maker, other, loser, idle, debt = left
    assert below_zero(world.state) == [loser]
    assert world.refuse(c.ReserveWithdrawal(idle, 1_000_000, "w")) == "withdrawals_gated"
    treasury = world.treasury
    first, waits = world.pass_time(0)
    assert (first.account, first.debt, first.treasury, first.shares) == (loser, debt, treasury, ())
    assert (first.left, waits) == (debt - treasury, DebtAwaited(world.now, loser))
    assert world.state.next_deadline() > world.now
    assert world.refuse(c.ReserveWithdrawal(idle, 1_000_000, "w")) == "withdrawals_gated"
    assert world.refuse(c.ShareDebt(idle, who="ada", why="a slip")) == "bad_value"
    assert world.refuse(c.ShareDebt(4_000, who="ada", why="a slip")) == "account_unknown"
    paid = share(world, loser)
    assert (paid.account, paid.debt, paid.left) == (loser, debt - treasury, 0)
    assert [account for account, _ in paid.shares] == [maker, other, idle]
    moved = {posting.debit: posting.amount for posting in postings(paid)}
    assert moved == dict(paid.shares)
    assert (world.balance(loser), world.treasury) == (0, 0)
    world.play(c.ReserveWithdrawal(idle, 1_000_000, "w"))
    assert (
        state_hash(replayed(world.journal)) == state_hash(load(dump(world.state))) == state_hash(world.state)
    )


def test_not_every_mark_asks_everybody_again_for_a_debt_that_nobody_can_pay(world):
    loser = world.agent(1, 10)
    world.record(e.DepositCredited(world.now, loser, -20, "a loss from nowhere"))
    world.play(c.ReviewAccount(loser))
    asked = []
    for _ in range(41):
        world.index(1, 600_000)
        asked += [one for one in world.pass_time(SECOND // 2) if isinstance(one, DebtAwaited)]
    # Once at first, then with the first mark, and every ten seconds from then on.
    assert asked[0].at <= world.now - 20 * SECOND
    apart = [(after.at - before.at) // SECOND for before, after in pairwise(asked)]
    assert apart[-1] == UNPAID_PAUSE // SECOND
    assert len(asked) <= 4


def test_an_order_when_nobody_has_anything_is_kept_and_moves_nothing(world):
    loser = world.agent(1, 10)
    world.record(e.DepositCredited(world.now, loser, -20, "a loss from nowhere"))
    world.play(c.ReviewAccount(loser))
    assert world.pass_time(0) == [DebtAwaited(world.now, loser)]
    ordered = world.play(c.ShareDebt(loser, who="ada", why="hope"))
    assert [type(event) for event in ordered] == [SharingOrdered]
    assert world.balance(loser) == -10


def test_the_debtors_family_pays_first_then_its_owner_then_the_fund(world):
    parent = world.agent(1, 100)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    second = world.agent(1, 70, name="second")
    stranger = world.agent(2, 10**9)
    world.play(c.Transfer(parent, parent, sub, 40, "t"))
    world.play(c.CreditDeposit(INSURANCE, 1_000, "fund"))
    world.play(c.ClaimExit(parent, 75, "claim:s:0"))
    world.record(e.DepositCredited(world.now, parent, -100, "a loss from nowhere"))
    assert (world.balance(parent), world.balance(sub)) == (-100, 25)
    (paid,) = covered(world.pass_time(0))
    assert (paid.debt, paid.fund, paid.shares) == (100, 5, ((sub, 25), (second, 70)))
    assert world.balance(stranger) == 10**9


def test_an_account_that_pays_with_what_its_position_needs_is_liquidated_at_once(world):
    maker, debtor = world.agent(1, 10**11), world.agent(2, 10)
    second = world.agent(2, 1_300_000_000, name="second")
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(second, "in", 1, 10_000, 600_000)
    world.play(c.ClaimExit(debtor, 1_000_000_000, "claim:s:0"))
    events = world.pass_time(0)
    assert [account for account, _ in covered(events)[0].shares] == [second]
    assert [event.account for event in events if isinstance(event, LiquidationStarted)] == [second]


def test_those_with_positions_pay_when_fund_and_treasury_have_nothing_left(world, left, replayed):
    maker, other, loser, idle, debt = left
    hold(world, maker, other)
    treasury = world.treasury
    (paid,) = covered(world.pass_time(0))
    assert (paid.account, paid.debt, paid.fund, paid.treasury, paid.left) == (loser, debt, 0, treasury, 0)
    assert [account for account, _ in paid.shares][:2] == [maker, other]
    assert idle not in dict(paid.shares)
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
    maker, _, loser, idle, debt = left
    hold(world, maker, idle)
    (paid,) = covered(world.pass_time(0))
    assert concerns(paid)[0] == loser
    assert set(concerns(paid)) == {loser, *(account for account, _ in paid.shares)}
    own, others = seen_by(paid, loser), seen_by(paid, idle)
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
