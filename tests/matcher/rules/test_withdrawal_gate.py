"""Nothing leaves while somebody is below zero, nor while an operator says so."""

from core.operator_events import WithdrawalsHeld
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import dump, load
from matcher.rejections import Repeated


def sunk(world):
    """A third account that holds nothing, and a trader whose loss is larger than all it has."""
    maker, trader, idle = world.agent(1, 10**13), world.agent(2, 1_300_000_000), world.agent(3)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 580_000)
    assert world.state.margin_of(world.state.accounts[trader]).equity < 0
    return trader, idle


def test_nothing_is_reserved_while_an_account_is_below_zero(world):
    trader, idle = sunk(world)
    assert below_zero(world.state) == [trader]
    refused = world.do(c.ReserveWithdrawal(idle, 1, "w"))
    assert (refused.code, refused.retryable) == ("withdrawals_gated", True)
    world.index(1, 600_000)
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_what_was_reserved_before_is_answered_and_finished(world):
    idle = world.agent(4)
    reserved = world.play(c.ReserveWithdrawal(idle, 5, "before"))[0]
    sunk(world)
    assert world.do(c.ReserveWithdrawal(idle, 5, "before")) == Repeated((reserved,))
    world.play(c.FinishWithdrawal(reserved.withdrawal, True, "s"))


def test_a_deposit_that_pays_the_debt_opens_the_gate_at_once(world):
    trader, idle = sunk(world)
    debt = -world.state.margin_of(world.state.accounts[trader]).equity
    world.play(c.CreditDeposit(trader, debt - 1, "most"))
    assert world.refuse(c.ReserveWithdrawal(idle, 1, "w")) == "withdrawals_gated"
    world.play(c.CreditDeposit(trader, 1, "rest"))
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_a_start_knows_who_is_below_zero(world, replayed):
    trader, idle = sunk(world)
    assert below_zero(load(dump(world.state))) == below_zero(replayed(world.journal)) == [trader]
    world.index(1, 600_000)
    assert below_zero(world.state) == []
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_an_account_in_an_auction_or_that_waits_for_a_price_is_known_when_it_falls_below_zero(world):
    maker, trader, idle = world.agent(1, 10**13), world.agent(2, 1_300_000_000), world.agent(3)
    world.play(c.Subscribe(maker, (1,)))
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.now += 1
    world.index(1, 593_000)
    world.pass_time(0)
    assert world.state.liquidations[trader].request
    assert below_zero(world.state) == []
    world.index(1, 580_000)
    assert below_zero(world.state) == [trader]
    assert world.refuse(c.ReserveWithdrawal(idle, 1, "w")) == "withdrawals_gated"
    world.index(1, 593_000)
    world.index(1, 593_000, validity=Validity.DISPUTED)
    world.pass_time(3 * SECOND)
    world.pass_time(3 * SECOND)
    assert world.state.watch.waiting
    assert below_zero(world.state) == []
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_an_operator_holds_withdrawals_and_lets_them_go(world):
    idle = world.agent(1)
    assert world.play(c.HoldWithdrawals(True, who="ada", why="odd fills")) == [
        WithdrawalsHeld(world.now, True, "ada", "odd fills")
    ]
    assert world.play(c.HoldWithdrawals(True)) == []
    assert world.refuse(c.ReserveWithdrawal(idle, 1, "w")) == "withdrawals_gated"
    assert load(dump(world.state)).breakers.held
    world.play(c.HoldWithdrawals(False))
    world.play(c.ReserveWithdrawal(idle, 1, "w"))
