"""Many accounts that need a look at once: they get it a few at a time, nobody is forgotten, nothing passes that needed the look."""

import random
from itertools import pairwise

import pytest

from core.accounts import INSURANCE
from core.liquidation import compare_risk
from core.liquidation_events import LiquidationStarted
from matcher import commands as c
from matcher.edges import Edges
from matcher.image import dump, load
from matcher.retrace import retrace
from matcher.state import AT_ONCE
from matcher.turns import Turns
from matcher.watch import LOOKS_AT_ONCE, LOOKS_BEFORE_STEPS

ACCOUNTS = 3 * LOOKS_AT_ONCE + 5
LOTS = 1_000


@pytest.fixture
def crowd(world):
    """Longs with hardly more than their initial requirement, the maker that is short against them, and one who holds nothing."""
    maker, idle = world.agent(1, 10**13), world.agent(2)
    traders = [world.agent(number, 130_000_000) for number in range(3, 3 + ACCOUNTS)]
    for trader in traders:
        world.quotes(maker, [], [(600_000, LOTS)])
        world.request(trader, "k", 1, LOTS, 600_000)
        assert world.held(trader)[0] == LOTS
    world.pass_time(0)
    assert world.state.next_deadline() != AT_ONCE
    return world, traders, idle


def looks(state):
    """How many times there was somebody left to look at."""
    number = 0
    while state.watch.behind:
        state.watch.look(state)
        number += 1
    return number


def test_whom_a_mark_crosses_is_found_a_few_at_a_time(crowd):
    world, traders, _ = crowd
    world.index(1, 590_000)
    assert world.state.watch.behind
    seen = []
    while world.state.watch.behind:
        before = len(world.state.watch.due)
        world.state.watch.look(world.state)
        seen.append(len(world.state.watch.due) - before)
    assert world.state.watch.due == set(traders)
    assert max(seen) == LOOKS_AT_ONCE
    assert len(seen) == 4


def test_everybody_is_liquidated_although_marks_and_deposits_come_between_the_looks(crowd, replayed):
    world, traders, _ = crowd
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    rng, saved = random.Random(7), {}
    world.index(1, 590_000)
    for number in range(20):
        world.state.next_deadline()
        world.play(c.Advance())
        world.index(1, 590_000 + rng.randrange(-200, 200))
        trader = rng.choice(traders)
        if trader not in world.state.liquidations and world.held(trader)[0]:
            world.play(c.CreditDeposit(trader, 10**12, f"rescue{number}"))
            saved[trader] = True
    started = [event.account for event in world.journal if isinstance(event, LiquidationStarted)]
    while 0 < world.state.next_deadline() <= world.now:
        started += [
            event.account for event in world.play(c.Advance()) if isinstance(event, LiquidationStarted)
        ]
    assert sorted({*started, *saved}) == traders
    assert not set(started) & set(saved)
    assert all(world.held(trader)[0] == 0 for trader in started)
    assert dump(replayed(world.journal)) == dump(world.state)


def starts(events):
    return [event for event in events if isinstance(event, LiquidationStarted)]


@pytest.mark.parametrize("killed", [False, True])
def test_the_riskiest_of_all_whom_a_mark_crosses_is_the_first(crowd, killed):
    """Who came last is poorest, and all are found by a mark or, after a kill, by the look at everybody."""
    world, traders, _ = crowd
    for place, trader in enumerate(traders):
        world.play(c.CreditDeposit(trader, 10_000 * (len(traders) - place), f"more{place}"))
    world.pass_time(0)
    world.index(1, 590_000)
    if killed:
        world.state = load(dump(world.state))
        world.state.book.secret = b"x"
        world.play(c.StartEpoch())
    first, *others = starts(world.pass_time(0))
    assert (first.account, len(others)) == (traders[-1], ACCOUNTS - 1)
    for before, after in pairwise([first, *others]):
        assert compare_risk(before.equity, before.maintenance, after.equity, after.maintenance) > 0
    last = retrace(lambda: enumerate(world.journal, 1), others[-1].liquidation)
    assert [step.differences for step in last] == [[]] * len(last)


def test_steps_do_not_wait_for_ever_where_marks_come_faster_than_looks(crowd):
    world, _, _ = crowd
    world.index(1, 590_000)
    watch, rounds = world.state.watch, 10
    watch.looked = LOOKS_BEFORE_STEPS - rounds * LOOKS_AT_ONCE
    for _ in range(rounds - 1):
        assert world.play(c.Advance()) == []
        # Every mark has those that are due looked at again.
        world.index(1, 590_000)
    assert watch.behind
    assert starts(world.play(c.Advance()))


def test_nothing_is_withdrawn_until_all_that_need_it_had_their_look(crowd):
    world, _, idle = crowd
    world.index(1, 599_990)
    world.state = load(dump(world.state))
    refused = world.refuse(c.ReserveWithdrawal(idle, 1, "w"))
    assert refused == "withdrawals_gated"
    assert looks(world.state) == 3
    world.play(c.ReserveWithdrawal(idle, 1, "w"))


def test_who_presses_comes_before_the_many_and_has_one_look(crowd):
    world, traders, _ = crowd
    state = world.state
    state.watch.suspect_many(traders)
    state.watch.suspect(traders[-1])
    state.watch.look(state)
    assert {id for id in traders if not state.watch.unseen(id)} == {
        traders[-1],
        *traders[: LOOKS_AT_ONCE - 1],
    }
    looks(state)
    before = state.watch.stamp
    state.watch.look(state)
    assert state.watch.stamp == before == len({*state.watch.stamps.values()})


def test_turns_are_taken_in_order_and_once():
    turns = Turns()
    turns.add([3, 1, 2, 1])
    turns.add([2, 4])
    turns.drop(1)
    assert (1 in turns, 4 in turns) == (False, True)
    assert [turns.take() for _ in range(4)] == [3, 2, 4, None]
    assert not turns


def test_entries_that_hold_survive_every_sweep():
    """Accounts that are looked at again and again, next to one that nobody touches."""
    edges, stamps, rng = Edges(), {0: 0}, random.Random(3)
    edges.push((500, 0, 0), stamps)
    marks = {0: 500}
    for stamp in range(1, 20_000):
        account = rng.randrange(1, 100)
        marks[account] = rng.randrange(1, 1_000)
        stamps[account] = stamp
        edges.push((marks[account], account, stamp), stamps)
        if stamp % 997 == 0:
            assert len(edges.entries) + len(edges.old) < 500
    found: set[int] = set()
    edges.crossed(500, stamps, found)
    assert found == {account for account, mark in marks.items() if mark < 500}
    edges.crossed(501, stamps, found)
    assert found == {account for account, mark in marks.items() if mark <= 500}
