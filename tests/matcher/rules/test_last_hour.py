"""Margin in the hour at whose average a market settles: what only the mark shows is not there, for nobody, and is no debt either."""

import pytest

from core.liquidation_events import Deleveraged, LiquidationStarted, TakenOver
from core.operator_events import DelistingAnnounced
from core.quantities import SECOND
from core.settlement_price import MINUTE, WINDOW
from matcher import commands as c
from matcher.gates import below_zero

USDC = 1_000_000
LOTS = 10_000


@pytest.fixture
def ending(world):
    """Market 1 is to end: `until` so many nanoseconds before, the index having stood at 60,000 for all of the hour."""

    def begin(until: int) -> None:
        announced = world.play(c.DelistMarket(1, who="ada", why="nobody quotes it"))
        at = next(one for one in announced if isinstance(one, DelistingAnnounced)).settles_at
        world.now = at - WINDOW
        while world.now < at - until:
            world.index(1, 600_000)
            world.index(2, 300_000)
            world.pass_time(30 * SECOND)

    return begin


def test_what_a_limit_keeps_back_pays_for_what_only_the_mark_shows(world, ending):
    """Its owner has hundreds of times as much: that the average is behind makes no debt that keeps everybody's money in."""
    maker, agent = world.agent(1, 10**13), world.agent(2)
    world.quotes(maker, [], [(603_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 603_000)
    ending(10 * MINUTE)
    world.index(1, 606_000)
    state = world.state
    assert state.overstated(state.accounts[agent]) == 500 * USDC
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(agent, 0, 0, 0),)))
    assert state.margin_of(state.accounts[agent]).equity == 0
    assert below_zero(state) == []


def test_who_leaves_by_its_limit_gets_no_more_than_the_market_would_settle_at(world, ending):
    maker, agent = world.agent(1, 10**13), world.agent(2)
    world.quotes(maker, [], [(603_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 603_000)
    ending(10 * MINUTE)
    world.index(1, 606_000)
    state = world.state
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(agent, 0, 0, 0),)))
    parts = []
    while not parts:
        happened = world.pass_time(SECOND)
        parts = [part for one in happened if isinstance(one, TakenOver | Deleveraged) for part in one.parts]
    assert [part.size for part in parts] == [LOTS]
    assert state.ends[1] < state.marks[1].value_per_lot
    assert parts[0].value <= LOTS * state.ends[1]


def test_an_average_that_moves_while_the_mark_stands_still_liquidates(world, ending):
    """Half an hour in which nobody knew the price counts for nothing, so what came before it counts for more."""
    maker, agent = world.agent(1, 10**13), world.agent(2, 3_000 * USDC)
    world.quotes(maker, [(600_000, LOTS)], [])
    world.request(agent, "short", -1, LOTS, 600_000)
    world.quotes(maker, [], [(300_000, LOTS)], market=2)
    world.request(agent, "long", 1, LOTS, 300_000, market=2)
    ending(50 * MINUTE)
    world.index(1, 540_000)
    world.index(2, 236_000)
    state = world.state
    assert state.span_of(1) == (540_000, 550_000)
    assert not [one for one in world.pass_time(0) if isinstance(one, LiquidationStarted)]
    world.now += 40 * MINUTE
    world.index(2, 236_000)
    world.index(1, 540_000)
    assert state.span_of(1) == (540_000, 568_571)
    started = [one.account for one in world.pass_time(0) if isinstance(one, LiquidationStarted)]
    assert started == [agent]
