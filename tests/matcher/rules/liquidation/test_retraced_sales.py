"""What the insurance fund sold, derived anew from the journal: whole histories hold, and no amount can be changed unseen."""

from random import Random

import pytest
from msgspec.structs import replace

from core import events as e
from core.accounts import INSURANCE
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.retrace_sales import retrace_sales
from matcher.state import Exchange

PRICE = 590_000


def numbered(journal):
    return lambda: enumerate(journal, 1)


def sales(journal):
    return list(retrace_sales(numbered(journal), Exchange()))


@pytest.fixture
def history(crash):
    """The fund offers what it holds: nobody bids, or somebody for a part, while marks move and the process dies now and then."""
    world, rng = crash.world, Random(3)
    crash.fund_holds()
    world.play(c.Subscribe(crash.maker, (1,)))
    for number in range(40):
        world.now += rng.choice((SECOND, 61 * SECOND))
        world.index(1, PRICE)
        (opened,) = world.play(c.SellInventory(1))
        world.now += SECOND // 10
        world.index(1, PRICE + rng.choice((-50, 0, 0, 50)))
        if rng.random() < 0.6:
            world.play(c.PassRequest(crash.maker, opened.request))
        else:
            bid, lots = opened.limit + rng.randrange(80), rng.randrange(1, 300)
            world.play(c.AnswerRequest(crash.maker, opened.request, bid, 0, lots, 1, world.now + SECOND))
        crash.at_once()
        if number == 25:
            world.play(c.StartEpoch())
            world.play(c.Subscribe(crash.maker, (1,)))
    return world.journal


def test_every_sale_follows_from_the_records_before_it(history):
    found = sales(history)
    assert [one.differences for one in found] == [[]] * 40
    assert {one.steps for one in found} > {1, 2, 3, 4}
    assert any(one.fills for one in found)
    assert any(not one.fills for one in found)
    first = found[0]
    # A ninth of the maintenance of 1 %, away from the mark of its close.
    assert (first.held, first.mark, first.closed.size) == (100_000, PRICE, 20_000)
    assert first.limit == 589_345


def test_what_was_changed_is_seen(history):
    place = next(n for n, one in enumerate(history) if isinstance(one, e.Filled) and one.taker == INSURANCE)
    cheaper = [*history]
    cheaper[place] = replace(history[place], price=history[place].price - 200)
    assert any("price: fill" in why for one in sales(cheaper) for why in one.differences)
    end = next(n for n in range(place, len(history)) if isinstance(history[n], e.RequestClosed))
    larger = [*history]
    larger[end] = replace(history[end], size=history[end].size + 1)
    assert any("size: recorded" in why for one in sales(larger) for why in one.differences)


def test_nothing_is_said_of_sales_before_the_first_start_that_the_journal_tells_of(history):
    start = next(n for n, one in enumerate(history) if n and isinstance(one, e.EpochStarted))
    ends = [
        n for n, one in enumerate(history) if isinstance(one, e.RequestClosed) and one.account == INSURANCE
    ]
    whole, before, played = sales(history), ends[10], Exchange()
    for one in history[:before]:
        apply(played, one)
    rest = list(retrace_sales(lambda: enumerate(history[before:], before + 1), played))
    assert [one.sequence for one in rest] == [one.sequence for one in whole if one.sequence > start]
    assert all(not one.differences for one in rest)
