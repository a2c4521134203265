"""Open interest that grows too fast is said in the record, once, and may close the market to what opens."""

from core.events import MarketStatusSet
from core.market import MarketStatus
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.operator_events import OpenInterestJumped
from matcher import commands as c
from matcher.image import dump, load, state_hash

CAP = 10_000
ALARM = JumpAlarm(200_000, 10 * WINDOW_MIN)


def watched(world, only_reduces=False):
    """A maker and a trader in market 1, whose alarm looks for a fifth of a cap of 10,000 lots in ten minutes."""
    alarm = JumpAlarm(ALARM.share, ALARM.window, only_reduces)
    world.play(c.SetLimits(1, open_interest_cap=CAP, position_cap=CAP, alarm=alarm))
    return world.agent(1, 10**13), world.agent(2, 10**13)


def grows(world, maker, trader, lots):
    """What is said when the trader buys so many lots from the maker (sells them when negative)."""
    side, size = (1, lots) if lots > 0 else (-1, -lots)
    price = world.state.indexes[1].price
    world.quotes(maker, [(price - 10, size)], [(price + 10, size)])
    held = world.held(trader)[0]
    events = world.request(trader, f"k{world.state.seq}", side, size, price + 100 * side)
    assert world.held(trader)[0] == held + lots
    return [event for event in events if isinstance(event, OpenInterestJumped | MarketStatusSet)]


def waits(world, nanos):
    world.now += nanos
    world.index(1, 600_000)


def test_a_rise_beyond_the_share_is_said_once_and_the_next_one_counts_from_there(world):
    maker, trader = watched(world)
    assert grows(world, maker, trader, 2_000) == []
    assert grows(world, maker, trader, 1) == [OpenInterestJumped(world.now, 1, 0, 2_001)]
    assert grows(world, maker, trader, 2_000) == []
    assert grows(world, maker, trader, 1) == [OpenInterestJumped(world.now, 1, 2_001, 4_002)]
    assert world.state.breakers.jumps[1].open_interest == 4_002


def test_slow_growth_is_no_jump(world):
    maker, trader = watched(world)
    for _ in range(8):
        assert grows(world, maker, trader, 1_000) == []
        waits(world, 2 * ALARM.window)


def test_what_shrinks_and_grows_again_quickly_is_a_jump(world):
    maker, trader = watched(world)
    for _ in range(3):
        grows(world, maker, trader, 2_000)
        waits(world, 2 * ALARM.window)
    assert grows(world, maker, trader, -5_000) == []
    assert grows(world, maker, trader, 2_001) == [OpenInterestJumped(world.now, 1, 1_000, 3_001)]


def test_one_request_against_many_makers_is_one_jump(world):
    maker, trader = watched(world)
    others = [world.agent(number, 10**13) for number in (3, 4)]
    for one in (maker, *others):
        world.quotes(one, [], [(600_010, 1_000)])
    events = world.request(trader, "k", 1, 3_000, 600_100)
    assert [event for event in events if isinstance(event, OpenInterestJumped)] == [
        OpenInterestJumped(world.now, 1, 0, 3_000)
    ]


def test_an_alarm_may_close_the_market_to_what_opens(world):
    maker, trader = watched(world, only_reduces=True)
    jumped, closed = grows(world, maker, trader, 2_001)
    assert jumped == OpenInterestJumped(world.now, 1, 0, 2_001)
    why = "open interest rose from 0 to 2001 lots too fast"
    assert closed == MarketStatusSet(world.now, 1, MarketStatus.REDUCE_ONLY, "exchange", why)
    assert world.request(trader, "more", 1, 1, 600_100).code == "market_reduce_only"
    assert grows(world, maker, trader, -1) == []
    world.play(c.SetMarketStatus(1, MarketStatus.OPEN, who="ada", why="it was a market maker"))
    assert grows(world, maker, trader, 1_000) == []


def test_an_alarm_set_later_looks_back_no_further_and_can_be_changed(world):
    maker, trader = world.agent(1, 10**13), world.agent(2, 10**13)
    assert grows(world, maker, trader, 5_000) == []
    world.play(c.SetLimits(1, open_interest_cap=100_000, alarm=JumpAlarm(50_000, WINDOW_MIN)))
    assert grows(world, maker, trader, 4_999) == []
    assert grows(world, maker, trader, 2) == [OpenInterestJumped(world.now, 1, 5_000, 10_001)]


def test_what_an_alarm_remembers_comes_back_from_a_snapshot_and_from_the_journal(world, replayed):
    maker, trader = watched(world)
    grows(world, maker, trader, 1_500)
    waits(world, 2 * ALARM.window)
    grows(world, maker, trader, 500)
    for other in (load(dump(world.state)), replayed(world.journal)):
        assert other.breakers == world.state.breakers
        assert state_hash(other) == state_hash(world.state)
    assert grows(world, maker, trader, 1_501) == [OpenInterestJumped(world.now, 1, 1_500, 3_501)]
