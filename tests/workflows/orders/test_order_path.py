"""An order at each venue: acknowledged, filled, recorded once; and at whichever step something is lost, sent once."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.open_orders import order_id
from activities.order_rules import OrderAsked
from activities.orders import FORGOTTEN, FORGOTTEN_AFTER
from core.market import Side
from core.quantities import SECOND, Nanos
from core.tickets import Leg, OrderType, PriceE8, notional_down, notional_up
from workflows.exec_service import ExecService, OrdersUnavailable
from workflows.order import OrderRun, OrderWorkflow

PATIENCE_S = 60


def bought_and_sold(fills):
    """Cash that fills leave, reckoned anew from what the venue tells."""
    return sum(
        -notional_up(one.price, one.size) - one.fee
        if one.side is Side.BUY
        else notional_down(one.price, one.size) - one.fee
        for one in fills
    )


@pytest.fixture(autouse=True)
async def bounded():
    async with asyncio.timeout(PATIENCE_S):
        yield


@pytest.mark.parametrize("venue", ["mock_gold", "hyper", "agents", "synthetix", "polymarket"])
async def test_open_and_close(desk_at, venue, vault, keep_history):
    desk = await desk_at(venue)
    async with desk.worker():
        facts = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="first"), "ada")
        assert (facts.status, facts.filled) == ("filled", desk.place.size)
        assert (await desk.ended(facts)).status == "filled"
        assert await desk.held() == {venue: {desk.place.symbol: desk.place.size}}
        out = await desk.exec.close(vault, Leg(venue, desk.place.symbol))
        assert out.status == "filled"
        await desk.ended(out)
        nothing = await desk.exec.close(vault, Leg(venue, desk.place.symbol))
        assert (nothing.status, nothing.code) == ("refused", "no_position")
        if venue == "mock_gold":
            await keep_history(desk.client, "order-filled", f"order/{facts.ticket}")
    assert await desk.held() == {}
    told = await desk.told()
    assert [one.fill for one in await desk.recorded()] == [one.id for one in told]
    assert await desk.cash() == bought_and_sold(told)
    numbers = [one.number for one in await desk.events()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_same_client_id_is_the_same_order(desk_at, vault):
    desk = await desk_at("mock_gold")
    ticket = desk.ticket(Side.BUY, client_id="first")
    async with desk.worker():
        first, second = await asyncio.gather(*(desk.exec.open(vault, ticket) for _ in range(2)))
        assert first == second
        await desk.ended(first)
        assert (await desk.exec.open(vault, ticket)).filled == ticket.size
        # Until when it may be sent was said the first time.
        later = desk.ticket(Side.BUY, client_id="first", not_after=Nanos(1))
        assert (await desk.exec.open(vault, later)).filled == ticket.size
        # So is the same ticket by another key of the vault.
        assert (await desk.exec.open(vault, ticket, "bob")).filled == ticket.size
        other = await desk.exec.open(vault, desk.ticket(Side.SELL, client_id="first"))
        assert (other.status, other.code) == ("refused", "client_id_used")
    assert sum(one.size for one in await desk.told()) == ticket.size


@pytest.mark.parametrize("venue", ["mock_gold", "hyper"])
async def test_an_order_that_rests_is_taken_back(desk_at, vault, venue, keep_history):
    desk = await desk_at(venue)
    away = PriceE8(desk.place.price - 5 * desk.place.step)
    await desk.place.move(desk.place.price)
    ticket = desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=away, client_id="rests")
    async with desk.worker():
        assert (await desk.exec.open(vault, ticket)).status == "open"
        other = await desk.exec.open(vault, desk.ticket(Side.SELL, client_id="rests"))
        assert other.code == "client_id_used"
        facts = await desk.exec.cancel(vault, "rests")
        assert (facts.status, facts.filled) == ("cancelled", 0)
        await desk.ended(facts)
        assert await desk.exec.cancel(vault, "rests") == facts
        assert await desk.exec.cancel(vault, "never") is None
        if venue == "mock_gold":
            await keep_history(desk.client, "order-cancelled", f"order/{facts.ticket}")
        found = await desk.client.get_workflow_handle(f"order/{facts.ticket}").describe()
        attributes = {pair.key.name: pair.value for pair in found.typed_search_attributes}
        assert attributes == {"Vault": vault, "Venue": venue, "Symbol": desk.place.symbol}
    assert await desk.told() == []


async def test_what_is_taken_back_between_two_tries_is_not_tried_again(desk_at, vault, keep_history):
    desk = await desk_at("hyper")
    await desk.place.faults.ask("rate_limit", times=1)
    async with desk.worker():
        placing = asyncio.create_task(desk.exec.open(vault, desk.ticket(Side.BUY, client_id="busy")))
        while (kept := await desk.orders.order(f"{vault}/busy")) is None or kept.status != "accepted":
            await asyncio.sleep(0.01)
        facts = await desk.exec.cancel(vault, "busy")
        assert (facts.status, facts.words) == ("not_sent", "It was taken back.")
        assert await placing == await desk.ended(facts) == facts
        await keep_history(desk.client, "order-taken-back-unsent", f"order/{facts.ticket}")
    assert await desk.told() == []


async def test_an_order_that_rests_is_followed_until_it_fills(desk_at, vault):
    desk = await desk_at("hyper")
    await desk.place.move(desk.place.price)
    away = PriceE8(desk.place.price - 5 * desk.place.step)
    ticket = desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=away)
    async with desk.worker():
        facts = await desk.exec.open(vault, ticket)
        assert facts.status == "open"
        await desk.place.move(PriceE8(away - desk.place.step))
        assert (await desk.ended(facts)).status == "filled"
    assert await desk.held() == {"hyper": {desk.place.symbol: desk.place.size}}


async def test_an_order_that_its_venue_has_forgotten_ends_when_it_is_taken_back(desk_at, vault):
    desk = await desk_at("hyper")
    away = PriceE8(desk.place.price - 5 * desk.place.step)
    ticket = desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=away, client_id="rests")
    async with desk.worker():
        facts = await desk.exec.open(vault, ticket)
        desk.place.venue.books.exchange.orders.clear()
        # What the venue took just now it may only not tell yet.
        with pytest.raises(OrdersUnavailable):
            await ExecService(desk.client, "test-orders", within_s=0.5).cancel(vault, "rests")
        assert (await desk.orders.order(facts.ticket)).status == "open"
        desk.ahead = FORGOTTEN_AFTER
        taken_back = await desk.exec.cancel(vault, "rests")
        assert (taken_back.status, taken_back.filled, taken_back.code) == ("cancelled", 0, FORGOTTEN)
        assert await desk.ended(facts) == taken_back
    assert [one.payload["status"] for one in await desk.events()][-1] == "cancelled"


async def test_an_order_with_all_of_its_fills_has_ended_though_its_venue_has_forgotten_it(desk_at, vault):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    desk.place.venue.books.exchange.orders.clear()
    with pytest.raises(ApplicationError, match="forgotten"):
        await run(desk.following.follow_order, asked.ticket, 2)
    await desk.books.collect(vault, "hyper")
    assert (await desk.orders.order(asked.ticket)).status == "open"
    followed = await run(desk.following.follow_order, asked.ticket, 2)
    assert (followed.status, followed.filled) == ("filled", desk.place.size)


@pytest.mark.parametrize("venue", ["hyper", "agents", "synthetix", "polymarket"])
async def test_a_lost_reply_is_asked_for_and_nothing_is_sent_twice(desk_at, vault, venue, keep_history):
    desk = await desk_at(venue)
    async with desk.worker():
        await desk.place.faults.lose_reply()
        facts = await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="lost"))
        assert facts.status == "filled"
        await desk.ended(facts)
        if venue == "hyper":
            await keep_history(desk.client, "order-lost-reply", f"order/{facts.ticket}")
    assert sum(one.size for one in await desk.told()) == desk.place.size
    assert len(await desk.recorded()) == len(await desk.told())


@pytest.mark.parametrize("venue", ["hyper", "agents", "synthetix"])
async def test_a_lost_request_is_sent_again_once_it_can_not_come_any_more(desk_at, vault, venue):
    desk = await desk_at(venue)
    async with desk.worker():
        sending = await lost(desk, vault)
        # Nobody sends while the first may still arrive.
        assert (await desk.orders.order(f"{vault}/lost")).status == "sent"
        assert await desk.told() == []
        desk.ahead = 20 * SECOND
        facts = await sending
        assert facts.status == "filled"
        await desk.ended(facts)
    assert sum(one.size for one in await desk.told()) == desk.place.size


@pytest.mark.parametrize("venue", ["hyper", "agents", "synthetix"])
async def test_what_is_taken_back_while_it_may_be_on_its_way_is_not_sent_again(desk_at, vault, venue):
    desk = await desk_at(venue)
    async with desk.worker():
        sending = await lost(desk, vault)
        taking_back = asyncio.create_task(desk.exec.cancel(vault, "lost"))
        handle = desk.client.get_workflow_handle(order_id(f"{vault}/lost"))
        while not await accepted(handle, "cancel"):
            await asyncio.sleep(0.05)
        desk.ahead = 20 * SECOND
        facts, taken_back = await sending, await taking_back
        assert (facts.status, taken_back.status) == ("not_sent", "not_sent")
        await desk.ended(facts)
    assert await desk.told() == []
    assert (await desk.orders.order(f"{vault}/lost")).status == "not_sent"


async def test_a_lost_request_that_may_come_for_longer_than_anybody_sends_again_is_given_up(desk_at, vault):
    """Polymarket's signed orders live longer than a minute: when it is certain that one is not there, its price is old."""
    desk = await desk_at("polymarket")
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "lost", "ada")
    async with desk.worker():
        await desk.place.faults.lose_request()
        # Not by the service, for the same reason as below.
        handle = await desk.client.start_workflow(
            OrderWorkflow.run, OrderRun(asked), id=order_id(asked.ticket), task_queue="test-orders"
        )
        while not await trouble(desk, asked.ticket):
            await asyncio.sleep(0.05)
        desk.ahead = 300 * SECOND
        assert (await handle.result()).facts.status == "not_sent"
    assert await desk.told() == []


async def trouble(desk, ticket):
    return await desk.client.get_workflow_handle(order_id(ticket)).query("trouble")


async def test_who_is_sent_away_for_now_comes_again(desk_at, vault):
    desk = await desk_at("hyper")
    async with desk.worker():
        await desk.place.faults.limit_rate()
        facts = await desk.exec.open(vault, desk.ticket(Side.BUY))
        assert (await desk.ended(facts)).status == "filled"
    assert sum(one.size for one in await desk.told()) == desk.place.size


async def test_fills_that_come_in_parts_and_twice_are_counted_once(desk_at, vault):
    desk = await desk_at("hyper")
    await desk.place.faults.ask("duplicate")
    await desk.place.faults.ask("partial_fill")
    async with desk.worker():
        facts = await desk.exec.open(vault, desk.ticket(Side.BUY))
        facts = await desk.ended(facts)
        assert 0 < facts.filled < desk.place.size
        assert facts.status == "cancelled"
    assert await desk.held() == {"hyper": {desk.place.symbol: facts.filled}}
    await desk.place.faults.ask("duplicate", 0)
    assert [one.id for one in await desk.told()] == [one.fill for one in await desk.recorded()]


async def test_an_order_for_a_venue_that_is_down_is_given_up_in_time(desk_at, vault, keep_history):
    desk = await desk_at("hyper")
    asked = OrderAsked.of(vault, desk.ticket(Side.SELL, reduce_only=True), "down", "ada")
    async with desk.worker():
        await desk.place.faults.go_down()
        # Not by the service: while somebody waits for its answer the test's server does not skip time.
        handle = await desk.client.start_workflow(
            OrderWorkflow.run, OrderRun(asked), id=order_id(asked.ticket), task_queue="test-orders"
        )
        facts = (await handle.result()).facts
        assert (facts.status, facts.code) == ("not_sent", "venue_unavailable")
        await keep_history(desk.client, "order-not-sent", handle.id)
        assert await desk.exec.cancel(vault, "down") == facts
    assert [one.payload["status"] for one in await desk.events()][-1] == "not_sent"


async def test_a_venues_refusal_is_told_in_its_words(desk_at, vault):
    desk = await desk_at("hyper")
    async with desk.worker():
        facts = await desk.exec.open(vault, desk.ticket(Side.BUY, size=desk.place.odd))
        assert (facts.status, facts.code) == ("refused", "order_invalid")
        assert facts.words


async def lost(desk, vault):
    """Whoever waits for an order whose request is lost; nobody knows that yet, and the order's workflow says so."""
    await desk.place.faults.lose_request()
    sending = asyncio.create_task(desk.exec.open(vault, desk.ticket(Side.BUY, client_id="lost")))
    while (await desk.orders.order(f"{vault}/lost")) is None or not await trouble(desk, f"{vault}/lost"):
        await asyncio.sleep(0.05)
    return sending


async def accepted(handle, update):
    """Whether the workflow has heard of an update."""
    history = await handle.fetch_history()
    attributes = [one.workflow_execution_update_accepted_event_attributes for one in history.events]
    return any(one.accepted_request.input.name == update for one in attributes)
