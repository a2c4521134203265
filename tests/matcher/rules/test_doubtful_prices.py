"""A position whose price is in doubt makes nobody immune: what has a price is liquidated, the rest waits."""

import pytest

from core.accounts import INSURANCE
from core.liquidation_events import Deleveraged, LiquidationEnded, LiquidationStarted, PriceAwaited, TakenOver
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.gates import below_zero

LOTS = 8_000


class Doubt:
    """An account that is long in market 1 with hardly more than is required, and holds one lot in market 2, which is disputed."""

    def __init__(self, world):
        self.world = world
        self.maker, other = world.agent(1, 10**11), world.agent(2, 10**11)
        self.loser, self.idle = world.agent(3, 1_000_000_000), world.agent(4, 10**9)
        world.play(c.CutSettlement(1))
        world.finalize(1)
        world.quotes(other, [], [(300_100, 10)], market=2)
        world.request(self.loser, "one", 1, 1, 300_200, market=2)
        world.quotes(self.maker, [], [(600_100, LOTS)])
        world.request(self.loser, "many", 1, LOTS, 601_000)
        assert world.held(self.loser)[0] == LOTS

    def mark(self, price, validity=Validity.DISPUTED):
        """A new mark in market 1, while the other market is judged like this."""
        self.world.now += SECOND
        self.world.index(1, price)
        self.world.index(2, 300_000, validity=validity)
        return self.world.pass_time(0)

    @property
    def equity(self):
        return self.world.state.margin_of(self.world.state.accounts[self.loser]).equity


@pytest.fixture
def doubt(world):
    return Doubt(world)


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("validity", [Validity.DISPUTED, Validity.VOLATILE, Validity.UNAVAILABLE])
def test_a_crash_deleverages_what_has_a_price_and_leaves_nobody_below_zero(doubt, validity):
    world = doubt.world
    events = doubt.mark(560_000, validity)
    assert [event.account for event in of(events, LiquidationStarted)] == [doubt.loser]
    (closed,) = of(events, Deleveraged)
    assert (closed.market, closed.size, closed.left) == (1, LOTS, 0)
    assert (world.held(doubt.loser)[0], world.held(doubt.maker)[0]) == (0, 0)
    assert world.held(doubt.loser, 2)[0] == 1
    assert doubt.equity == 0
    assert of(events, PriceAwaited)[-1].market == 2
    assert below_zero(world.state) == []
    world.play(c.ReserveWithdrawal(doubt.idle, 1_000_000, "w"))


def test_the_fund_takes_over_what_has_a_price_and_pays_all_that_is_owed(doubt):
    world = doubt.world
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    (taken,) = of(doubt.mark(560_000), TakenOver)
    assert [(part.market, part.size) for part in taken.parts] == [(1, LOTS)]
    assert doubt.equity == 0
    assert world.held(INSURANCE)[0] == LOTS


def test_of_what_is_left_the_part_of_what_has_no_price_stays_with_it(doubt):
    doubt.world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    (taken,) = of(doubt.mark(591_000), TakenOver)
    assert [part.market for part in taken.parts] == [1]
    rest = doubt.world.state.margin_of(doubt.world.state.accounts[doubt.loser])
    assert 0 < rest.equity < rest.maintenance
    assert rest.equity * taken.maintenance >= taken.equity * rest.maintenance


def test_the_rest_is_liquidated_when_its_price_is_trusted_again(doubt):
    world = doubt.world
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    doubt.mark(560_000)
    assert doubt.loser in world.state.liquidations
    assert not of(doubt.mark(559_000), LiquidationEnded)
    events = doubt.mark(560_000, Validity.VALID)
    assert [event.account for event in of(events, LiquidationEnded)] == [doubt.loser]
    assert (world.balance(doubt.loser), world.state.accounts[doubt.loser].positions) == (0, {})


def test_whoever_holds_nothing_with_a_price_waits_for_one(doubt):
    world = doubt.world
    world.index(1, 560_000)
    world.index(1, 560_000, validity=Validity.DISPUTED)
    world.index(2, 300_000, validity=Validity.DISPUTED)
    awaited = of(world.pass_time(0), PriceAwaited)
    assert [(event.market, event.action) for event in awaited] == [(1, "liquidate"), (2, "liquidate")]
    assert below_zero(world.state) == [doubt.loser]
    assert world.refuse(c.ReserveWithdrawal(doubt.idle, 1_000_000, "w")) == "withdrawals_gated"


def test_nobody_is_liquidated_or_let_go_at_a_price_that_only_one_of_several_publishers_says(world):
    maker, trader = world.agent(1, 10**13), world.agent(2, 1_300_000_000)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 540_000, validity=Validity.LONE)
    assert world.pass_time(SECOND) == []
    assert (world.state.indexes[1].price, world.state.indexes[1].held) == (600_000, True)
    assert world.refuse(c.ReserveWithdrawal(maker, 1, "w")) == "index_unavailable"
    world.index(1, 540_000)
    assert any(
        isinstance(one, LiquidationStarted) and one.account == trader for one in world.pass_time(SECOND)
    )
