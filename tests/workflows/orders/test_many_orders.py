"""However many orders wait at venues, the next one is sent, taken back and closed at once."""

import asyncio
import functools
import time
from collections import Counter

from temporalio.testing import ActivityEnvironment

from activities.order_rules import OrderAsked
from activities.orders import PLACED, UNSENT
from core.market import Side
from core.quantities import SECOND
from core.tickets import Leg, OrderType, PriceE8

SLOTS = {"at_once": 3, "followed": 2}
MANY = 5
"""More than a worker has places of either kind."""
AT_ONCE_S = 5
"""An order that waits is followed for two minutes at a time."""


def resting(desk, number):
    away = PriceE8(desk.place.price - 100 * desk.place.step)
    return desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=away, client_id=f"rests-{number}")


async def test_orders_that_wait_keep_no_other_waiting(desk_of, places, tmp_path, vault):
    place = places["mock_gold"](tmp_path, None)
    desk = await desk_of("mock_gold", place, lambda name: place.open(account=name), (vault, "other"))
    async with asyncio.timeout(60), desk.worker(**SLOTS):
        waiting = await asyncio.gather(*(desk.exec.open(vault, resting(desk, n)) for n in range(MANY)))
        assert {one.status for one in waiting} == {"open"}
        begun = time.monotonic()
        bought = await desk.exec.open("other", desk.ticket(Side.BUY, client_id="market"))
        assert (bought.status, bought.filled) == ("filled", desk.place.size)
        taken_back = await desk.exec.cancel(vault, f"rests-{MANY - 1}")
        assert (taken_back.status, taken_back.filled) == ("cancelled", 0)
        # Whoever only waits holds all the places where orders are followed: what fills is in the books all the same.
        held = {"mock_gold": {desk.place.symbol: desk.place.size}}
        while await desk.held("other") != held:
            await asyncio.sleep(0.05)
        out = await desk.exec.close("other", Leg("mock_gold", desk.place.symbol))
        assert (out.status, out.filled) == ("filled", desk.place.size)
        assert time.monotonic() - begun < AT_ONCE_S


async def test_looking_after_many_orders_leaves_a_venue_what_a_close_needs(desk_at, vault):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    place = functools.partial(run, desk.steps.place_order)
    bought = OrderAsked.of(vault, desk.ticket(Side.BUY), "held", "ada")
    await place(bought, desk.clock() + 60 * SECOND)
    await run(desk.following.follow_order, bought.ticket, 1)
    tickets = [resting(desk, number) for number in range(50)]
    waiting = [OrderAsked.of(vault, ticket, ticket.client_id, "ada") for ticket in tickets]
    for asked in waiting:
        assert (await place(asked, desk.clock() + 60 * SECOND)).facts.status == "open"
    await desk.place.faults.ask("count_weight")
    looks = [asyncio.create_task(run(desk.following.follow_order, one.ticket, 30)) for one in waiting]
    # And whoever compares positions looks besides, as often as it likes.
    looks += [asyncio.create_task(run(desk.reconciling.reconcile_venues)) for _ in range(30)]
    done, _ = await asyncio.wait(looks, timeout=2)
    assert [one.exception() for one in done] == [None] * len(done)
    begun = time.monotonic()
    taken_back = await run(desk.steps.cancel_order, waiting[0].ticket)
    assert taken_back == ""
    assert (await run(desk.following.follow_order, waiting[0].ticket, 1)).status == "cancelled"
    out = OrderAsked(vault, "out", "hyper", desk.place.symbol, close=True)
    step = await place(out, desk.clock() + 60 * SECOND)
    assert (step.kind, step.facts.status, step.facts.filled) == (PLACED, "filled", desk.place.size)
    assert time.monotonic() - begun < AT_ONCE_S
    for one in looks:
        one.cancel()
    await asyncio.wait(looks)


async def test_one_look_at_an_account_serves_all_who_follow_its_orders(desk_at, vault, monkeypatch):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    tickets = [resting(desk, number) for number in range(12)]
    waiting = [OrderAsked.of(vault, ticket, ticket.client_id, "ada") for ticket in tickets]
    for asked in waiting:
        await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    venue, lists = desk.place.venue, Counter()
    answer = venue.view.answer
    monkeypatch.setattr(venue.view, "answer", lambda body: lists.update([body["type"]]) or answer(body))
    begun = time.monotonic()
    follow = asyncio.gather(*(run(desk.following.follow_order, one.ticket, 30) for one in waiting))
    await asyncio.sleep(0.5)
    # One list for those who came first and one for the others, then more than a second apart: none of them is asked for alone.
    assert set(lists) == {"frontendOpenOrders"}
    assert lists["frontendOpenOrders"] <= 2 + (time.monotonic() - begun) / 1.2
    await desk.place.move(PriceE8(desk.place.price - 101 * desk.place.step))
    async with asyncio.timeout(10):
        followed = await follow
    assert {(one.status, one.filled) for one in followed} == {("filled", desk.place.size)}
    told = await desk.told()
    assert sorted(one.fill for one in await desk.recorded()) == sorted(one.id for one in told)
    assert await desk.held() == {"hyper": {desk.place.symbol: 12 * desk.place.size}}


async def test_whoever_may_not_look_for_now_goes_on_and_looks_later(desk_at, vault, monkeypatch):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    assert (await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)).facts.status == "filled"
    monkeypatch.setattr("venues.budget.PATIENCE_S", 0.05)
    monkeypatch.setattr("venues.budget.WINDOW_S", 1.0)
    (await desk.driver())._budget.spend(800)
    assert (await run(desk.following.follow_order, asked.ticket, 2)).status == "open"
    followed = await run(desk.following.follow_order, asked.ticket, 30)
    assert (followed.status, followed.filled) == ("filled", desk.place.size)


async def test_a_fill_that_comes_while_nothing_may_be_looked_at_is_closed_at_once(desk_at, vault):
    """Such a close used to be refused, and for ever under its client id: nobody had read that there was a position."""
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    place, symbol = functools.partial(run, desk.steps.place_order), desk.place.symbol
    rests = OrderAsked.of(vault, resting(desk, 1), "rests", "ada")
    assert (await place(rests, desk.clock() + 60 * SECOND)).facts.status == "open"
    (await desk.driver())._budget.spend(800)
    await desk.place.move(PriceE8(desk.place.price - 101 * desk.place.step))
    assert await desk.held() == {}
    begun = time.monotonic()
    out = OrderAsked(vault, "out", "hyper", symbol, close=True)
    step = await place(out, desk.clock() + 60 * SECOND)
    assert (step.kind, step.facts.status, step.facts.filled) == (PLACED, "filled", desk.place.size)
    assert time.monotonic() - begun < AT_ONCE_S
    # What is not there is not there: no order of the leg, nothing to ask for.
    other = OrderAsked(vault, "other", "hyper", "BTC", close=True)
    assert (await place(other, desk.clock() + 60 * SECOND)).facts.code == "no_position"
    await desk.books.collect(vault, "hyper")
    assert await desk.held() == {}


async def test_a_venue_that_is_silent_has_a_close_tried_again_and_not_refused(desk_at, vault):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    rests = OrderAsked.of(vault, resting(desk, 1), "rests", "ada")
    await run(desk.steps.place_order, rests, desk.clock() + 60 * SECOND)
    await desk.place.faults.go_down()
    out = OrderAsked(vault, "out", "hyper", desk.place.symbol, close=True)
    step = await run(desk.steps.place_order, out, desk.clock() + 60 * SECOND)
    assert (step.kind, step.code) == (UNSENT, "venue_unavailable")
    assert await desk.orders.order(out.ticket) is None


async def test_what_is_taken_back_is_told_though_its_fills_can_not_be_read_for_now(
    desk_at, vault, monkeypatch
):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    monkeypatch.setattr("activities.following.RECORDED_S", 0.1)
    (await desk.driver())._budget.spend(800)
    told = await run(desk.following.follow_order, asked.ticket, 1)
    assert (told.status, told.filled) == ("filled", desk.place.size)
    # The ledger has it open until somebody may look.
    assert (await desk.orders.order(asked.ticket)).status == "open"
