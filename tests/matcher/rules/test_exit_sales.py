"""How far from the mark the exchange sells what an owner must close to leave."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.exit_events import ExitRequested
from core.exits import LEAD, sell_by
from core.quantities import SECOND
from matcher import commands as c
from matcher.auctions import offered_limit
from matcher.exiting import closes_from, steps_to_leave
from matcher.selling import WIDEST

USDC = 1_000_000
DELAY = 3_600 * SECOND
LOTS = 80_000
WAY = DELAY // 2 - LEAD
"""From the half of the delay to a minute before the chain pays, in nanoseconds."""


def leaving(world, delay: int = DELAY) -> tuple[int, int]:
    """An owner that asks for what its position needs, and a maker that is asked."""
    agent, other, maker = world.agent(1, 10_000 * USDC), world.agent(2), world.agent(3)
    world.quotes(other, [], [(600_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 600_000)
    world.play(c.RequestExit(agent, 2_000 * USDC, (world.now + delay) // SECOND))
    world.play(c.Subscribe(maker, (1,)))
    return agent, maker


def land(world) -> None:
    """A batch lands, so that what has not matured does so later."""
    world.index(1, 600_000)
    batch = world.state.cut.batch + 1 if world.state.cut is not None else 1
    world.play(c.CutSettlement(batch))
    world.finalize(batch)


def distance(world, agent: int, maker: int) -> int:
    """Ticks from the mark at which a slice is offered now; nobody bids."""
    world.index(1, 600_000)
    (opened,) = world.play(c.ReduceForExit(agent, 0))
    world.play(c.PassRequest(maker, opened.request))
    return 600_000 - opened.limit


def test_it_is_offered_near_the_mark_at_first_and_furthest_before_the_claim_whatever_lands(world):
    agent, maker = leaving(world)
    world.pass_time(DELAY // 2 - SECOND)
    land(world)
    world.pass_time(SECOND)
    due, away = [], []
    for number in range(13):
        if number in (2, 3, 7):
            land(world)
        due.append(world.state.exit_due())
        away.append(distance(world, agent, maker))
        world.pass_time(WAY // 12)
    # It matures later with each batch that lands, and then there is no other.
    assert due == [*sorted(due[:10]), 0, 0, 0]
    assert len({*due[:10]}) == 4
    assert world.state.matured == {agent}
    # Sixths of two thirds of the maintenance fraction of 1 %, a tick nearer for what is rounded.
    assert away == [666, 666, 1_333, 1_333, 1_999, 1_999, 2_666, 2_666, 3_333, 3_333, 3_999, 3_999, 3_999]


def test_a_chain_that_stands_still_has_it_mature_at_once_and_sold_no_further_away(world):
    agent, maker = leaving(world)
    world.pass_time(DELAY // 2)
    assert world.state.matured == {agent}
    assert distance(world, agent, maker) == 666
    world.pass_time(WAY // 3)
    assert distance(world, agent, maker) == 1_999


def test_who_is_seen_too_late_for_that_is_offered_furthest_at_once(world):
    agent, maker = leaving(world, 2 * LEAD)
    world.pass_time(LEAD)
    assert distance(world, agent, maker) == 3_999


@given(
    seen=st.integers(0, 2**60),
    left=st.integers(-(10**6), 10**7),
    waits=st.lists(st.integers(0, 10**16), min_size=1),
)
def test_time_alone_moves_it_and_only_away_from_the_mark(seen, left, waits):
    exit_at = max(1, seen // SECOND + left)
    request = ExitRequested(seen, 16, 1, exit_at, sell_by(exit_at))
    begins, ends = closes_from(request), exit_at * SECOND - LEAD
    steps = [steps_to_leave(request, begins + wait) for wait in sorted(waits)]
    assert steps == sorted(steps)
    assert 1 <= steps[0] <= steps[-1] <= WIDEST
    assert steps_to_leave(request, max(begins, ends)) == WIDEST
    if ends > begins:
        assert steps_to_leave(request, begins) == 1
        assert steps_to_leave(request, ends - (ends - begins) // WIDEST) == WIDEST
    # A request that an older release took note of goes the same way.
    assert [steps_to_leave(replace(request, sell_by=0), begins + wait) for wait in sorted(waits)] == steps


@pytest.mark.parametrize("side", [1, -1])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=15))
def test_nothing_that_lands_takes_the_limit_back_towards_the_mark(new_world, side, moves):
    world = new_world()
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    world.quotes(other, *(([], [(600_000, LOTS)]) if side > 0 else ([(600_000, LOTS)], [])))
    world.request(agent, "open", side, LOTS, 600_000)
    world.play(c.RequestExit(agent, 2_000 * USDC, (world.now + DELAY) // SECOND))
    account = world.state.accounts[agent]
    ends = world.state.exits[agent].sell_by * SECOND
    world.pass_time(DELAY // 2)
    distances = []
    for seconds, lands in [*moves, (0, True)]:
        world.pass_time(min(seconds * SECOND, ends - world.now))
        if lands:
            land(world)
        distances.append((600_000 - offered_limit(world.state, account, 1, LOTS, world.now)) * side)
    assert distances == sorted(distances)
    assert distances[0] >= 666
    assert (600_000 - offered_limit(world.state, account, 1, LOTS, ends)) * side == 3_999
