"""What is said to be free to leave is what leaves: to the micro-USDC, and with the same reason when nothing does."""

import pytest

from core.funding import HOUR
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.leaving import NothingFree, free, stopped, why_nothing_free
from matcher.limits import WITHDRAWALS_OPEN_MAX

INDEX = 600_000


@pytest.fixture
def holders(world):
    """A maker, and two longs of market 1: the first with little more than its initial requirement."""
    maker = world.agent(1, 10**13)
    longs = [world.agent(2, 1_300_000_000), world.agent(3, 10**12)]
    for holder in longs:
        world.quotes(maker, [], [(INDEX, 10_000)])
        world.request(holder, "k", 1, 10_000, INDEX)
    world.play(c.CancelAll(maker))
    return longs


def agrees(world, account):
    """What is said of an account, having seen that a withdrawal does the same; nothing is left to withdraw after it."""
    held = world.state.accounts[account]
    why, most = stopped(world.state, held, world.now), free(world.state, held)
    if why is not None:
        assert world.do(c.ReserveWithdrawal(account, 1, "one")) == why
        return why.code
    assert world.refuse(c.ReserveWithdrawal(account, most + 1, "more")) == "withdrawal_too_large"
    if most:
        world.play(c.ReserveWithdrawal(account, most, "most"))
    return most


def test_margin_alone_decides(world, holders):
    assert agrees(world, holders[1]) > 0
    assert agrees(world, holders[1]) == 0


def test_nothing_leaves_an_account_that_is_being_liquidated(world, holders):
    world.index(1, 590_000)
    world.play(c.Advance())
    assert holders[0] in world.state.liquidations
    assert agrees(world, holders[0]) == "being_liquidated"


def test_nothing_leaves_while_an_account_is_below_zero(world, holders):
    world.index(1, 580_000)
    world.play(c.Advance())
    assert agrees(world, holders[1]) == "withdrawals_gated"


def test_nothing_leaves_at_a_price_that_is_not_believed_but_of_who_holds_nothing_there(world, holders):
    idle = world.agent(4)
    world.index(1, INDEX, validity=Validity.UNAVAILABLE)
    assert agrees(world, holders[1]) == "index_unavailable"
    assert agrees(world, idle) == 100_000_000_000


def test_nothing_leaves_beyond_the_withdrawals_that_may_be_open(world, holders):
    for number in range(WITHDRAWALS_OPEN_MAX):
        world.play(c.ReserveWithdrawal(holders[1], 1, f"w{number}"))
    assert agrees(world, holders[1]) == "too_many_withdrawals_open"
    assert free(world.state, world.state.accounts[holders[1]]) > 0


def test_what_the_chain_does_not_hold_yet_is_not_free(world, holders):
    world.index(1, INDEX + 100_000)
    held = world.state.accounts[holders[1]]
    assert world.state.margin_of(held).withdrawable > held.settled
    assert agrees(world, holders[1]) == 10**12
    assert (held.settled, free(world.state, held)) == (0, 0)


def test_of_a_sub_account_it_is_what_a_transfer_takes(world):
    parent = world.agent(5)
    (opened,) = world.play(c.OpenSubAccount(parent, 1))
    world.play(c.Transfer(parent, parent, opened.account, 10**9, "stake"))
    world.now += SECOND
    sub = world.state.accounts[opened.account]
    assert (stopped(world.state, sub, world.now), free(world.state, sub)) == (None, 10**9)
    assert world.refuse(c.Transfer(parent, sub.id, parent, 10**9 + 1, "more")) == "transfer_too_large"
    world.play(c.Transfer(parent, sub.id, parent, 10**9, "all"))


def why(world, account):
    """Why nothing is free, having seen that nothing is exactly when there is a reason and something to leave."""
    held = world.state.accounts[account]
    found = why_nothing_free(world.state, held)
    assert (found is None) == (free(world.state, held) > 0 or world.state.worth_of(held).equity <= 0)
    return found


def test_when_nothing_is_free_it_is_said_why(world, holders):
    tight, rich = holders
    assert (why(world, tight), why(world, rich)) == (NothingFree.MARGIN, None)
    assert why(world, world.agent(5, 0)) is None
    world.play(c.RequestExit(rich, 10**13, (world.now + HOUR) // SECOND))
    assert why(world, rich) is NothingFree.EXIT
    world.play(c.ReleaseExit(rich, 0))
    assert why(world, rich) is None


def test_what_was_gained_since_the_last_batch_is_said_to_be_not_settled(world):
    maker, trader = world.agent(1, 10**13), world.agent(2, 10**10)
    world.quotes(maker, [], [(INDEX, 10_000)])
    world.request(trader, "k", 1, 10_000, INDEX)
    world.index(1, 610_000)
    world.quotes(maker, [(610_000, 10_000)], [])
    world.request(trader, "out", -1, 10_000, 610_000)
    held = world.state.accounts[trader]
    world.play(c.ReserveWithdrawal(trader, free(world.state, held), "all that is there"))
    assert held.balance > 0
    assert why(world, trader) is NothingFree.NOT_SETTLED


def test_a_sub_account_gives_nothing_that_is_no_collateral(world):
    parent = world.agent(1, 10**10)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    world.play(c.Transfer(parent, parent, sub, 10**9, "t"))
    assert why(world, sub) is None
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(parent, 1, 0, 0),)))
    assert why(world, sub) is NothingFree.LOSS_LIMIT
