"""The one step that sends an order: of all that try, whenever and however often, one sends."""

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from activities.order_rules import OrderAsked
from activities.orders import PLACED, UNKNOWN, UNSENT
from core.market import Side
from core.quantities import SECOND
from ledger.venue_orders import Standing

STEP = "place_order"


@pytest.fixture
async def desk(desk_at):
    return await desk_at("hyper")


@pytest.fixture
def asked(desk, vault):
    return OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")


async def placed(desk, asked, late=0):
    before = desk.clock() + (60 - late) * SECOND
    return await ActivityEnvironment().run(desk.steps.place_order, asked, before)


async def sent(desk):
    return sum(one.size for one in await desk.told())


@pytest.mark.cell(STEP, "duplicate")
async def test_of_several_that_send_at_once_one_does(desk, asked):
    steps = await asyncio.gather(*(placed(desk, asked) for _ in range(5)))
    assert sorted(one.kind for one in steps) == [PLACED] + [UNKNOWN] * 4
    assert await sent(desk) == desk.place.size
    # And whoever comes afterwards is told what came of it.
    again = await placed(desk, asked)
    assert (again.kind, again.facts.venue_order_id) == (
        PLACED,
        next(one.facts.venue_order_id for one in steps if one.kind == PLACED),
    )
    assert await sent(desk) == desk.place.size


@pytest.mark.cell(STEP, "delayed")
async def test_what_comes_too_late_sends_nothing(desk, asked):
    assert (await placed(desk, asked, late=60)).kind == UNSENT
    assert await sent(desk) == 0


@pytest.mark.cell(STEP, "killed before")
async def test_one_that_died_before_sending_is_sent_once_it_can_not_have_been(desk, asked):
    assert (await placed(desk, asked, late=60)).kind == UNSENT
    await desk.orders.move(asked.ticket, Standing.ACCEPTED, Standing.SENT, desk.clock())
    assert (await placed(desk, asked)).kind == UNKNOWN
    run, until = ActivityEnvironment().run, desk.clock() + 15 * SECOND
    assert (await run(desk.steps.resolve_order, asked.ticket, until)).kind == UNKNOWN
    assert await sent(desk) == 0
    desk.ahead = 20 * SECOND
    assert (await run(desk.steps.resolve_order, asked.ticket, until)).kind == UNSENT
    assert (await placed(desk, asked)).kind == PLACED
    assert await sent(desk) == desk.place.size


@pytest.mark.cell(STEP, "reply lost")
async def test_one_whose_reply_is_lost_is_found(desk, asked):
    await desk.place.faults.lose_reply()
    step = await placed(desk, asked)
    assert step.kind == UNKNOWN
    assert step.until > desk.clock()
    found = await ActivityEnvironment().run(desk.steps.resolve_order, asked.ticket, step.until)
    assert (found.kind, found.facts.status) == (PLACED, "filled")
    assert (await placed(desk, asked)).kind == PLACED
    assert await sent(desk) == desk.place.size


async def test_what_is_given_up_is_never_sent(desk, asked):
    await placed(desk, asked, late=60)
    run = ActivityEnvironment().run
    given_up = await run(desk.steps.give_up_order, asked, "the venue was silent")
    assert (given_up.kind, given_up.facts.status) == (PLACED, "not_sent")
    assert (await placed(desk, asked)).facts.status == "not_sent"
    assert await sent(desk) == 0
    # And what is being sent is not given up.
    other = OrderAsked.of(asked.vault, desk.ticket(Side.BUY), "two", "ada")
    await placed(desk, other, late=60)
    await desk.orders.move(other.ticket, Standing.ACCEPTED, Standing.SENT, desk.clock())
    assert (await run(desk.steps.give_up_order, other, "too late")).kind == UNKNOWN
