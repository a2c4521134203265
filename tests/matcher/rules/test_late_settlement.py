"""When the chain is behind by half of the exit delay nobody takes on more risk, until a batch has landed."""

import pytest

from core.custody_events import ExitDelaySeen, SettlementLate
from core.events import BatchAdvanced
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.limits import LATE_LEAST

DELAY = 3 * 24 * 3_600
HALF = DELAY * SECOND // 2


@pytest.fixture
def trading(world):
    """A maker and a trader with 5 lots long, traded now; the exit delay of three days is known."""
    world.maker, world.trader = world.agent(1), world.agent(2)
    world.play(c.SeeExitDelay(DELAY))
    buy(world, 5)
    return world


def buy(world, size: int, side: int = 1):
    level = [(600_000, 50)]
    world.index(1, 600_000)
    world.quotes(world.maker, *(([], level) if side > 0 else (level, [])))
    return world.request(world.trader, f"k{world.state.seq}", side, size, 600_000)


def late(world) -> list[SettlementLate]:
    return [event for event in world.journal if isinstance(event, SettlementLate)]


def wait_until(world, instant: int) -> None:
    world.pass_time(instant - world.now)


def test_growth_stops_exactly_when_half_of_the_exit_delay_is_over(trading, replayed):
    world, since = trading, trading.now
    wait_until(world, since + HALF - 1)
    assert late(world) == []
    assert world.closed(buy(world, 1)).filled == 1
    wait_until(world, since + HALF)
    assert late(world) == [SettlementLate(world.now, True, since, DELAY)]
    assert buy(world, 1).code == "market_reduce_only"
    assert buy(world, 7, -1).code == "market_reduce_only"
    assert world.closed(buy(world, 6, -1)).filled == 6
    wait_until(world, since + 2 * HALF)
    assert len(late(world)) == 1
    for again in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(again) == state_hash(world.state)
        assert again.custody.late


def test_a_batch_that_lands_lets_trading_go_on_by_itself(trading):
    world = trading
    wait_until(world, world.now + HALF)
    world.index(1, 600_000)
    world.index(2, 300_000)
    world.play(c.CutSettlement(1))
    cut = world.now
    assert buy(world, 1).code == "market_reduce_only"
    world.now += SECOND
    world.finalize(1)
    assert late(world)[1:] == [SettlementLate(world.now, False, cut, DELAY)]
    assert isinstance(world.journal[world.journal.index(late(world)[-1]) - 1], BatchAdvanced)
    assert world.closed(buy(world, 1)).filled == 1
    wait_until(world, cut + HALF)
    assert [one.late for one in late(world)] == [True, False, True]


def test_a_batch_that_was_cut_too_long_ago_lands_without_letting_it_go_on(trading):
    world = trading
    world.play(c.CutSettlement(1))
    cut = world.now
    wait_until(world, cut + HALF)
    world.finalize(1)
    assert [one.late for one in late(world)] == [True]
    world.index(1, 600_000)
    world.index(2, 300_000)
    world.play(c.CutSettlement(2))
    world.finalize(2)
    assert [one.late for one in late(world)] == [True, False]


def test_the_chain_may_always_be_behind_for_as_long_as_a_cut_waits_for_an_index(trading):
    world, since = trading, trading.now
    world.play(c.SeeExitDelay(60))
    wait_until(world, since + LATE_LEAST - 1)
    assert late(world) == []
    wait_until(world, since + LATE_LEAST)
    assert late(world) == [SettlementLate(world.now, True, since, 60)]


def test_growth_stops_when_half_of_the_time_is_over_after_which_a_lower_loss_limit_counts(trading, replayed):
    """Who lost and lowers its limit is let off then as who leaves is later."""
    world, since = trading, trading.now
    day = 24 * 3_600
    assert world.play(c.SeeExitDelay(DELAY, day)) == [ExitDelaySeen(world.now, DELAY, day)]
    assert world.play(c.SeeExitDelay(DELAY, day)) == []
    wait_until(world, since + day * SECOND // 2 - 1)
    assert world.closed(buy(world, 1)).filled == 1
    wait_until(world, since + day * SECOND // 2)
    assert late(world) == [SettlementLate(world.now, True, since, day)]
    assert buy(world, 1).code == "market_reduce_only"
    for again in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(again) == state_hash(world.state)
    # A longer one than the exit delay changes nothing: who wants to be let off leaves.
    told = world.play(c.SeeExitDelay(DELAY, DELAY + 1))
    assert told[1:] == [SettlementLate(world.now, False, since, DELAY)]
    wait_until(world, since + HALF)
    assert late(world)[2:] == [SettlementLate(world.now, True, since, DELAY)]
    assert world.refuse(c.SeeExitDelay(DELAY, -1)) == "bad_value"


def test_a_longer_exit_delay_lets_trading_go_on_and_the_same_changes_nothing(trading):
    world, since = trading, trading.now
    assert world.play(c.SeeExitDelay(DELAY)) == []
    wait_until(world, since + HALF)
    told = world.play(c.SeeExitDelay(DELAY + 1))
    assert told == [
        ExitDelaySeen(world.now, DELAY + 1),
        SettlementLate(world.now, False, since, DELAY + 1),
    ]
    assert world.refuse(c.SeeExitDelay(0)) == "bad_value"


def test_without_a_fill_or_without_an_exit_delay_nothing_is_late(new_world):
    idle, blind = new_world(), new_world()
    idle.agent(1)
    idle.play(c.SeeExitDelay(DELAY))
    blind.maker, blind.trader = blind.agent(1), blind.agent(2)
    buy(blind, 5)
    for world in (idle, blind):
        world.pass_time(4 * HALF)
        assert late(world) == []
