"""From when the chain may pay an owner alone, that money backs nothing: else an exit would be a put that the insurance fund writes."""

import pytest

from core import events as e
from core.accounts import INSURANCE
from core.exit_events import ExitMatured
from core.liquidation_events import LiquidationEnded, LiquidationStarted, TakenOver
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.limits import SETTLEMENT_PATIENCE
from matcher.state import AT_ONCE

USDC = 1_000_000
DELAY = 3_600 * SECOND
LOTS = 90_000
"""9 BTC at 60,000: 540,000 USDC, of which 10,800 are required at first and 5,400 as maintenance."""


class Leaving:
    """An owner with 100,000 USDC on chain that asks for 88,000 of them, long `LOTS` with the rest; the fund has 200,000."""

    def __init__(self, world):
        self.world = world
        world.play(c.CreditDeposit(INSURANCE, 200_000 * USDC, "fund"))
        self.agent, self.other = world.agent(1, 100_000 * USDC), world.agent(2, 10**12)
        world.play(c.CutSettlement(1))
        world.finalize(1)
        self.trade(self.agent, 1, LOTS)
        self.ask(88_000 * USDC)

    def trade(self, account, side, lots, limit=600_000, market=1):
        levels = [(limit, lots)]
        self.world.quotes(self.other, *(([], levels) if side > 0 else (levels, [])), market=market)
        outcome = self.world.request(account, f"t{self.world.state.seq}", side, lots, limit, market=market)
        return self.world.closed(outcome).outcome if isinstance(outcome, list) else outcome.code.value

    def ask(self, amount):
        at = (self.world.now + DELAY) // SECOND
        self.world.play(c.RequestExit(self.agent, amount, at))
        # No batch lands in between: half of the time is the owner's, and the chain is further behind than what is left then.
        self.due = self.world.now + (at * SECOND - self.world.now) // 2

    def wait(self, price=600_000):
        """Until the request has matured, with a price at the end."""
        self.world.pass_time(self.due - self.world.now - 1)
        assert not self.world.state.matured
        events = self.world.pass_time(1)
        return events + self.price(price)

    def price(self, price, validity=Validity.VALID):
        self.world.now += SECOND
        self.world.index(1, price, validity=validity)
        return self.world.pass_time(0)

    def margin(self):
        return self.world.state.margin_of(self.world.state.accounts[self.agent])


@pytest.fixture
def leaving(world):
    return Leaving(world)


def kinds(events, *of):
    return [event for event in events if isinstance(event, of)]


def test_from_its_maturity_on_what_was_asked_for_backs_nothing(world, leaving, replayed):
    assert leaving.margin().equity == 100_000 * USDC - leaving_fee(world)
    (matured,) = kinds(leaving.wait(), ExitMatured)
    assert matured.account == leaving.agent
    assert leaving.margin().equity == 12_000 * USDC - leaving_fee(world)
    assert not world.state.liquidations
    before = dump(world.state)
    assert state_hash(replayed(world.journal)) == state_hash(load(before)) == state_hash(world.state)
    # Settled is all that it has: a slot that lost it meanwhile pays no more than it holds.
    assert world.state.worth_of(world.state.accounts[leaving.agent]).equity > 99_000 * USDC


def leaving_fee(world):
    return world.treasury


def test_who_loses_what_the_chain_may_not_pay_is_closed_before_the_fund_would_pay(world, leaving):
    leaving.wait()
    # 1.4 % take 7,560 of the 12,000 that back the position: still more than two thirds of its maintenance.
    events = leaving.price(591_600)
    assert [event.account for event in kinds(events, LiquidationStarted)] == [leaving.agent]
    events = leaving.price(589_000)
    (taken,) = kinds(events, TakenOver)
    assert 0 < taken.equity < 3_000 * USDC
    (ended,) = kinds(events, LiquidationEnded)
    assert (ended.why, ended.equity, world.held(leaving.agent)) == ("taken_over", 0, (0, 0))
    # The fund gets the fee of an auction, of which what backed the position was not enough.
    fee = 589_000 * LOTS * 10 // 200
    assert taken.equity < fee
    assert world.balance(leaving.agent) == 88_000 * USDC + taken.equity - fee
    fund = world.state.margin_of(world.state.accounts[INSURANCE])
    assert fund.equity == 200_000 * USDC + fee


@pytest.mark.parametrize("validity", [Validity.AGED, Validity.STALE, Validity.UNCERTAIN])
def test_a_maturity_sells_to_nobody_at_a_price_that_nobody_would_trade_at(world, leaving, validity):
    world.index(1, 600_000)
    leaving.ask(10**12)
    world.pass_time(leaving.due - world.now - 1)
    world.index(1, 600_000, validity=validity)
    assert kinds(world.pass_time(1), ExitMatured)
    assert (world.held(leaving.agent)[0], world.state.liquidations) == (LOTS, {})
    worth = world.state.worth_of(world.state.accounts[leaving.agent]).equity
    leaving.price(590_000)
    assert world.held(leaving.agent) == (0, 0)
    # It lost what everybody would have, and the fee.
    assert world.balance(leaving.agent) == worth - 9_000 * USDC - 590_000 * LOTS * 10 // 200


def test_a_gap_beyond_what_backs_the_position_takes_no_more_of_the_fund_than_the_account_lost(world, leaving):
    leaving.wait()
    events = leaving.price(540_000)
    (taken,) = kinds(events, TakenOver)
    # The rest is there: it is only that the chain may pay it out.
    assert taken.equity == 0
    fee = 540_000 * LOTS * 10 // 200
    assert world.balance(leaving.agent) == 100_000 * USDC - 54_000 * USDC - leaving_fee(world) - fee
    fund = world.state.margin_of(world.state.accounts[INSURANCE])
    assert fund.equity == 200_000 * USDC + fee
    world.play(c.CutSettlement(2))
    world.finalize(2)
    assert world.state.accounts[leaving.agent].settled == world.balance(leaving.agent)


def test_who_left_everything_standing_is_closed_at_its_maturity(world):
    leaving = Leaving(world)
    leaving.ask(10**12)
    events = leaving.wait()
    assert world.held(leaving.agent) == (0, 0)
    assert [event.account for event in kinds(events, LiquidationStarted)] == [leaving.agent]
    # What the cut before had not brought to the chain yet.
    assert leaving.margin().equity == 0


def test_a_reduction_gives_away_none_of_what_the_chain_may_pay(world, leaving):
    leaving.wait()
    # 4.8 % of half the position are 12,960 USDC, more than what backs it, and no part of the 88,000.
    assert leaving.trade(leaving.agent, -1, LOTS // 2, 571_200) == "insufficient_margin"
    assert leaving.trade(leaving.agent, -1, LOTS // 2, 599_990) == "filled"


def test_a_request_that_is_taken_back_or_replaced_backs_positions_again(world, leaving):
    leaving.wait()
    full = world.state.worth_of(world.state.accounts[leaving.agent]).equity
    leaving.ask(88_000 * USDC)
    assert leaving.margin().equity == full
    leaving.wait()
    assert leaving.margin().equity == full - 88_000 * USDC
    world.play(c.ReleaseExit(leaving.agent, 0))
    assert leaving.margin().equity == full
    assert not world.state.matured


def test_a_batch_on_its_way_takes_nothing_from_what_the_chain_may_pay_until_it_is_final(world, leaving):
    leaving.ask(10**12)
    leaving.price(594_000)
    world.play(c.CutSettlement(2))
    account = world.state.accounts[leaving.agent]
    assert world.state.on_chain(account) == 100_000 * USDC > account.settled
    world.finalize(2)
    assert world.state.on_chain(account) == account.settled


def test_a_request_matures_the_earlier_the_further_the_chain_is_behind(world, leaving):
    leaving.ask(90_000 * USDC)
    exit_at = leaving.due + DELAY // 2

    def land(batch, before):
        world.pass_time(exit_at - before - world.now)
        world.index(1, 600_000)
        world.play(c.CutSettlement(batch))
        world.finalize(batch)

    for batch, minutes in ((2, 31), (3, 21)):
        land(batch, minutes * 60 * SECOND)
        # If none landed any more: halfway to a minute before the chain pays.
        assert world.state.exit_due() == max(leaving.due, exit_at - (minutes + 1) * 30 * SECOND)
        world.index(1, 600_000)
    assert not world.state.matured
    assert load(dump(world.state)).exit_due() == world.state.exit_due()
    world.pass_time(world.state.exit_due() - world.now)
    assert world.state.matured == {leaving.agent}


def test_a_cut_waits_for_no_doubtful_market_when_the_chain_is_about_to_pay_what_was_lost(world, leaving):
    leaving.ask(10**12)
    world.index(2, 300_000)
    assert leaving.trade(world.agent(5), 1, 1, 300_000, market=2) == "filled"
    world.pass_time(120 * SECOND)
    assert world.refuse(c.CutSettlement(2)) == "index_unavailable"
    leaving.wait()
    assert world.held(leaving.agent) == (0, 0)
    # It paid fees that the chain still holds for it.
    assert world.state.overdrawn(world.state.accounts[leaving.agent])
    assert world.now - world.state.cut.at < SETTLEMENT_PATIENCE
    world.play(c.CutSettlement(2))


def test_a_market_in_doubt_keeps_only_its_own_position(world, leaving):
    world.index(2, 300_000)
    assert leaving.trade(leaving.agent, 1, 1, 300_000, market=2) == "filled"
    leaving.ask(90_000 * USDC)
    world.pass_time(DELAY // 2)
    world.index(1, 600_000)
    bidder = world.agent(3)
    world.quotes(bidder, [(599_990, 10**5)], [])
    step = world.play(c.ReduceForExit(leaving.agent, 0))
    assert {event.market for event in kinds(step, e.Filled)} == {1}
    # Nothing can be valued: then it waits, and says why.
    leaving.ask(10**12)
    world.pass_time(DELAY // 2 + 60 * SECOND)
    assert world.refuse(c.ReduceForExit(leaving.agent, 0)) == "index_unavailable"


def test_a_sub_account_backs_its_position_with_what_its_parent_does_not_take(world):
    parent, other = world.agent(1, 10_000 * USDC), world.agent(2, 10**12)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    world.play(c.Transfer(parent, parent, sub, 5_000 * USDC, "t"))
    world.quotes(other, [], [(600_000, 10_000)])
    world.closed(world.request(sub, "open", 1, 10_000, 600_000))
    world.quotes(other, [], [(300_000, 10_000)], market=2)
    world.closed(world.request(parent, "open", 1, 10_000, 300_000, market=2))
    at = (world.now + DELAY) // SECOND
    world.play(c.RequestExit(parent, 7_000 * USDC, at))
    world.pass_time((at * SECOND - world.now) // 2)
    world.index(1, 600_000)
    world.index(2, 300_000)
    assert not world.pass_time(0)
    state = world.state
    lent = state.claimable(state.accounts[sub])
    assert lent > 0
    assert lent + state.claimable(state.accounts[parent]) == 7_000 * USDC
    # The parent's loss is at the sub-account's cost, whose own mark stands still.
    world.now += SECOND
    world.index(2, 292_000)
    world.pass_time(0)
    assert state.claimable(state.accounts[sub]) > lent
    world.now += SECOND
    world.index(2, 200_000)
    events = world.pass_time(0)
    assert {parent, sub} <= {event.account for event in kinds(events, LiquidationStarted)}


def test_who_is_due_only_by_what_a_batch_might_not_have_taken_is_not_once_it_has(world):
    agent, other = world.agent(1, 100_000 * USDC), world.agent(2)
    world.quotes(other, [], [(600_000, 10_000)])
    world.request(agent, "open", 1, 10_000, 600_000)
    world.index(1, 590_000)
    world.play(c.CutSettlement(1))
    world.index(1, 599_000)
    world.play(c.RequestExit(agent, 10**12, world.now // SECOND + 3_600))
    world.record(ExitMatured(world.now, agent))
    # All that it had before the batch may yet be paid, and it has less. Of what the batch leaves, it has 900 USDC more.
    assert world.state.next_deadline() == AT_ONCE
    assert world.state.watch.due == {agent}
    world.finalize(1)
    assert not world.state.margin_of(world.state.accounts[agent]).liquidatable
    assert not kinds(world.pass_time(0), LiquidationStarted)
