"""Nobody crowds honest makers out of requests and auctions with wallets: places go to who can back and has filled, the rest by lot."""

from collections import Counter

import pytest

from core.quantities import SECOND
from matcher import commands as c
from matcher.asking import RANKED_FOR, makers_asked
from matcher.limits import MAKER_EQUITY_MIN, MAKERS_ASKED_MAX, MAKERS_LOOKED_MAX

INDEX = 600_000
ENOUGH = MAKER_EQUITY_MIN + 1_000_000
SMALLEST = 10
"""Lots of a request that every wallet here could back."""


def join(world, owner, deposit):
    """A maker that is asked in market 1."""
    account = world.agent(owner, deposit)
    world.play(c.Subscribe(account, (1,)))
    return account


def ask(world, times, size=SMALLEST, most=MAKERS_ASKED_MAX):
    """How often each maker was asked by so many requests."""
    asked = Counter()
    for number in range(times):
        world.state.book.next_id += 1 + number % 3
        makers = makers_asked(world.state, "", 1, size, world.now, most)
        assert len(makers) == len(set(makers)) <= most
        asked.update(makers)
    return asked


def crowd(world, wallets):
    """An honest maker with money, one that has been filled, and so many wallets with what it takes to be asked, all subscribed."""
    others = [join(world, 100 + number, ENOUGH) for number in range(wallets)]
    rich, proven = join(world, 1, 10**11), join(world, 2, ENOUGH)
    taker = world.agent(3)
    world.quotes(proven, [], [(INDEX, 100)])
    world.closed(world.request(taker, "k", 1, 100, INDEX))
    return rich, proven, others


@pytest.mark.parametrize("wallets", [2 * MAKERS_ASKED_MAX, MAKERS_LOOKED_MAX + 44])
def test_who_can_back_most_and_who_was_filled_are_always_asked_and_all_others_by_lot(world, wallets):
    rich, proven, others = crowd(world, wallets)
    times = 100
    asked = ask(world, times)
    assert asked[rich] == asked[proven] == times
    # Equals who can back most are the same each time; the others have about a quarter of the places among them.
    assert set(asked) == {rich, proven, *others}
    assert min(asked.values()) < times // 2


def test_the_ids_of_others_requests_choose_nobody_who_is_drawn(new_world):
    worlds = [new_world(), new_world()]
    drawn = []
    for world, secret in zip(worlds, (b"one", b"another"), strict=True):
        world.state.book.secret = secret
        crowd(world, 2 * MAKERS_ASKED_MAX)
        drawn.append(makers_asked(world.state, "", 1, SMALLEST, world.now))
    assert worlds[0].state.book.next_id == worlds[1].state.book.next_id
    assert len(set(drawn[0]) & set(drawn[1])) >= MAKERS_ASKED_MAX // 2
    assert drawn[0] != drawn[1]


def test_a_ranking_of_many_makers_holds_for_a_second_and_nobody_who_left_is_asked(world):
    rich, _, others = crowd(world, MAKERS_LOOKED_MAX)
    assert ask(world, 1)[rich] == 1
    world.play(c.Subscribe(rich, ()))
    assert ask(world, 20)[rich] == 0
    richer = join(world, 9, 10**12)
    assert ask(world, 20)[richer] == 0
    world.now += RANKED_FOR
    assert ask(world, 20)[richer] == 20
    # Whoever has lost what it had is looked at again for every request.
    loser = others[0]
    world.play(c.ReserveWithdrawal(loser, 2_000_000, "w"))
    assert ask(world, 20)[loser] == 0


def test_an_auction_asks_all_who_can_back_a_part_of_it_up_to_a_bound(world):
    victim, maker = world.agent(1, 30_000_000_000), world.agent(2, 10**13)
    makers = [join(world, 100 + number, 600_000_000) for number in range(MAKERS_ASKED_MAX + 6)]
    for poor in range(10):
        join(world, 500 + poor, ENOUGH)
    world.quotes(maker, [], [(INDEX, 200_000)])
    world.closed(world.request(victim, "in", 1, 200_000, INDEX))
    world.play(c.CancelAll(maker))
    world.now += SECOND
    world.index(1, 591_000)
    opened = [event for event in world.pass_time(0) if type(event).__name__ == "RequestOpened"]
    assert [set(event.makers) for event in opened] == [set(makers)]
    assert len(ask(world, 1, size=1, most=MAKERS_LOOKED_MAX)) == len(makers) + 10
