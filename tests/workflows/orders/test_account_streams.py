"""Orders that wait are looked at as soon as their venue says that something happened, where it says so."""

import asyncio
from contextlib import ExitStack

import pytest
from temporalio.testing import ActivityEnvironment

from activities.account_streams import STREAMS_MOST
from activities.order_rules import OrderAsked
from core.market import Side
from core.quantities import SECOND
from core.tickets import OrderType, PriceE8

SOON_S = 20


@pytest.fixture(autouse=True)
def seldom(monkeypatch):
    """Whoever waits for the next look waits longer than any test."""
    monkeypatch.setattr("activities.following.FIRST_LOOK_S", 600.0)
    monkeypatch.setattr("activities.following.LAST_LOOK_S", 600.0)
    monkeypatch.setattr("activities.account_streams.APART_S", 0.05)
    monkeypatch.setattr("activities.account_streams.AGAIN_S", (0.01, 0.02))


async def waiting(desk, vault):
    """An order below the price, and whoever follows it."""
    run = ActivityEnvironment().run
    limit = PriceE8(desk.place.price - 20 * desk.place.step)
    ticket = desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=limit, client_id="waits")
    asked = OrderAsked.of(vault, ticket, "waits", "ada")
    assert (await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)).facts.status == "open"
    following = asyncio.create_task(run(desk.following.follow_order, asked.ticket, 30))
    await connected(desk)
    return following


async def connected(desk, many=1):
    while len(desk.place.venue.sockets) != many:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("venue", ["hyper", "polymarket"])
async def test_what_fills_is_known_as_soon_as_the_venue_says_so(desk_at, vault, venue):
    desk = await desk_at(venue)
    async with asyncio.timeout(SOON_S):
        following = await waiting(desk, vault)
        # What the connection begins with is looked at as well, and it fills only then.
        await asyncio.sleep(0.2)
        await desk.place.move(PriceE8(desk.place.price - 30 * desk.place.step))
        followed = await following
    assert (followed.status, followed.filled) == ("filled", desk.place.size)
    assert await desk.held() == {venue: {desk.place.symbol: desk.place.size}}


@pytest.mark.parametrize("venue", ["hyper", "polymarket"])
async def test_what_fills_while_a_stream_is_broken_is_known_with_the_next_one(desk_at, vault, venue):
    desk = await desk_at(venue)
    async with asyncio.timeout(SOON_S):
        following = await waiting(desk, vault)
        await asyncio.sleep(0.2)
        # No turn of the loop in between: whoever listened is told nothing of this.
        await desk.place.faults.ask("disconnect")
        await desk.place.move(PriceE8(desk.place.price - 30 * desk.place.step))
        followed = await following
    assert (followed.status, followed.filled) == ("filled", desk.place.size)


async def test_a_venue_is_asked_for_so_many_streams_and_no_more(desk_at, monkeypatch):
    monkeypatch.setattr("activities.account_streams.LINGER_S", 0.2)
    desk = await desk_at("hyper")
    async with asyncio.timeout(SOON_S):
        with ExitStack() as heard:
            ears = [
                heard.enter_context(desk.streams.heard((f"vault-{number}", "hyper")))
                for number in range(STREAMS_MOST + 1)
            ]
            again = heard.enter_context(desk.streams.heard(("vault-0", "hyper")))
            await connected(desk, STREAMS_MOST)
            for ear in (*ears[:STREAMS_MOST], again):
                await ear.news.wait()
            assert not ears[STREAMS_MOST].news.is_set()
        # Who comes back in time finds its stream as it was; the others end, and there is room.
        with desk.streams.heard(("vault-0", "hyper")) as ear:
            await connected(desk, 1)
            assert not ear.news.is_set()
            with desk.streams.heard(("vault-10", "hyper")) as other:
                await other.news.wait()
        await connected(desk, 0)


async def test_a_venue_without_a_stream_is_followed_all_the_same(desk_at, vault, monkeypatch):
    monkeypatch.setattr("activities.following.FIRST_LOOK_S", 0.01)
    desk, run = await desk_at("mock_gold"), ActivityEnvironment().run
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    assert (await run(desk.following.follow_order, asked.ticket, 30)).status == "filled"
