"""No batch is cut while settlement is held; what is cut is finished, and only a decision with a name ends it."""

from core.operator_events import RetryOrdered, SettlementHeld
from matcher import commands as c
from matcher.image import dump, load
from matcher.rejections import Repeated


def test_settlement_is_held_for_the_first_reason_until_somebody_lets_it_go(world):
    world.agent(1)
    held = world.play(c.HoldSettlement(True, who="operator", why="slot 0/2 differs"))
    assert held == [SettlementHeld(world.now, True, "operator", "slot 0/2 differs")]
    assert world.play(c.HoldSettlement(True, who="bob", why="another reason")) == []
    refused = world.do(c.CutSettlement(1))
    assert (refused.code, refused.retryable) == ("settlement_held", True)
    assert "slot 0/2 differs" in refused.message
    assert load(dump(world.state)).breakers.settlement == held[0]
    released = world.play(c.HoldSettlement(False, who="ada", why="a deposit was credited late"))
    assert released == [SettlementHeld(world.now, False, "ada", "a deposit was credited late")]
    assert load(dump(world.state)).breakers.settlement is None
    world.play(c.CutSettlement(1))


def test_a_batch_that_was_cut_before_is_finished(world):
    world.agent(1)
    cut = world.play(c.CutSettlement(1))[0]
    world.play(c.HoldSettlement(True))
    assert world.do(c.CutSettlement(1)) == Repeated((cut,))
    world.finalize(1)
    assert world.refuse(c.CutSettlement(2)) == "settlement_held"


def test_nothing_else_stops(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.HoldSettlement(True))
    world.quotes(maker, [], [(600_000, 10)])
    world.request(trader, "k", 1, 10, 600_000)
    assert world.state.last_fill == 1
    world.play(c.CreditDeposit(trader, 5, "later"))
    world.play(c.ReserveWithdrawal(maker, 1, "w"))


def test_only_a_batch_that_is_not_final_is_taken_up_anew_and_only_while_settlement_is_held(world):
    world.agent(1)
    retry = c.RetryBatch(1, who="ada", why="somebody else has its number")
    world.play(c.CutSettlement(1))
    assert world.refuse(retry) == "batch_not_retried"
    world.play(c.HoldSettlement(True))
    for _ in range(2):
        assert world.play(retry) == [RetryOrdered(world.now, 1, "ada", "somebody else has its number")]
    assert world.refuse(c.RetryBatch(2)) == "batch_not_retried"
    world.finalize(1)
    assert world.refuse(retry) == "batch_not_retried"
