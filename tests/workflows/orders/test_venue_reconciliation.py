"""The venue is right about positions: what was traded there by others is recorded, and a difference is taken over and told."""

import asyncio
import sqlite3
import time

import httpx
import pytest
from eth_account import Account
from temporalio.testing import ActivityEnvironment

from activities.venue_books import EMPTY_FOR, UNSETTLED_FOR
from activities.venue_collection import VenueCollectionActivities
from activities.venue_reconciliation import VenueReconciliationActivities
from core.market import Side
from core.quantities import SECOND
from core.tickets import PriceE8, e8_text, notional_up, price_from
from ledger.venue_doubts import doubts_of
from ledger.venue_fills import Difference
from ledger.venue_reads import differences_before
from venues.driver import VenueOrder
from venues.local.hyperliquid_actions import Funding
from venues.local.polymarket_books import Redeemed, Resolved
from venues.prices import LegPrice, Standing, VenuePriceRouter
from workflows.venue_reconciliation import VenueReconciliationWorkflow


async def compared(desk, number):
    return await desk.client.execute_workflow(
        VenueReconciliationWorkflow.run, id=f"venue-reconciliation-{number}", task_queue="test-orders"
    )


async def test_a_venues_position_is_taken_over(desk_at, vault, keep_history):
    desk = await desk_at("mock_gold")
    async with desk.worker():
        await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
        by_hand = VenueOrder("by-hand", "XAU", Side.BUY, desk.place.size)
        await (await desk.driver()).submit(by_hand)
        # What somebody traded by hand is a fill like any other, of none of our orders.
        assert (await compared(desk, 1)).differences == []
        assert await desk.held() == {"mock_gold": {"XAU": 2 * desk.place.size}}
        assert [bool(one.ticket) for one in await desk.recorded()][-1] is False
        before = await desk.cash()
        with sqlite3.connect(desk.place.file) as rows:
            rows.execute("update positions set size = size - 50000000")
        found = await compared(desk, 2)
        await keep_history(desk.client, "venue-reconciliation", "venue-reconciliation-2")
        told = f"{2 * desk.place.size} by its fills, {2 * desk.place.size - 50000000} there"
        assert found.differences == [f"{vault} mock_gold::XAU: {told}"]
        assert (await compared(desk, 3)).differences == []
        cash = await desk.cash()
        # Where only a made-up price is known, whoever hears of it hears that, too.
        made_up = LegPrice(PriceE8(3_000 * 10**8), time.time_ns(), "generated, seed 1", Standing.DEMO)
        desk.prices = VenuePriceRouter(
            {"mock_gold": None}, [], lambda leg: None, time.time_ns, lambda leg: made_up
        )
        with sqlite3.connect(desk.place.file) as rows:
            rows.execute("update positions set size = size - 50000000")
        await compared(desk, 4)
        assert await desk.cash() - cash == 1_500_000_000
    told = [one.payload for one in await desk.events() if one.kind == "difference"]
    assert [(one["price"], one["standing"]) for one in told] == [
        (4_000 * 10**8, "venue"),
        (3_000 * 10**8, "demo"),
    ]
    # Half an ounce less, sold at the price of now: the vault is worth what it was.
    assert cash - before == 2_000_000_000
    assert e8_text(PriceE8(desk.place.price)) == "4000"
    async with desk.pool.connect() as connection:
        assert len(await differences_before(connection, vault, 0, 9)) == 2


async def test_a_position_that_nobody_knows_a_price_of_is_left_and_doubted_until_somebody_does(
    desk_at, vault
):
    desk = await desk_at("mock_gold")
    async with desk.worker():
        await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
        cash, held, known = await desk.cash(), await desk.held(), desk.prices
        with sqlite3.connect(desk.place.file) as rows:
            rows.execute("delete from positions")
        desk.prices = VenuePriceRouter({"mock_gold": None}, [], lambda leg: None, time.time_ns)
        assert (await compared(desk, 1)).differences == []
        # Booked at nothing, the whole position would have been lost.
        assert (await desk.held(), await desk.cash()) == (held, cash)
        sentence = f"{e8_text(desk.place.size)} by its fills, 0 there, and nobody knows a price"
        assert await doubted(desk, vault) == [("difference_unpriced", "mock_gold::XAU", sentence)]
        desk.prices = known
        # Nothing at all is there any more: a wrong account says so too, and so does a venue that has just started.
        assert (await compared(desk, 2)).differences == []
        sentence = (
            f"{e8_text(desk.place.size)} by its fills, and the venue says that the account has nothing at all"
        )
        assert await doubted(desk, vault) == [("venue_empty", "mock_gold::XAU", sentence)]
        desk.ahead = EMPTY_FOR - 10 * SECOND
        assert (await compared(desk, 3)).differences == []
        assert (await desk.held(), await desk.cash()) == (held, cash)
        desk.ahead = EMPTY_FOR + 10 * SECOND
        assert len((await compared(desk, 4)).differences) == 1
    assert await desk.held() == {}
    assert await desk.cash() - cash == 4_000_000_000
    assert await doubted(desk, vault) == []


async def test_an_account_that_is_empty_once_is_not_believed_and_an_operator_may_be_sure_before(
    desk_at, vault
):
    desk = await desk_at("mock_gold")
    await (await desk.driver()).submit(VenueOrder("by-hand", "XAU", Side.BUY, desk.place.size))
    await desk.books.compare(vault, "mock_gold")
    size, cash = desk.place.size, await desk.cash()
    with sqlite3.connect(desk.place.file) as rows:
        rows.execute("update positions set size = 0")
    assert await desk.books.compare(vault, "mock_gold") == []
    assert [kind for kind, *_ in await doubted(desk, vault)] == ["venue_empty"]
    with sqlite3.connect(desk.place.file) as rows:
        rows.execute("update positions set size = ?", (size,))
    # It has it after all, and whatever comes later is looked at for as long again.
    assert await desk.books.compare(vault, "mock_gold") == []
    assert await doubted(desk, vault) == []
    desk.ahead = EMPTY_FOR
    with sqlite3.connect(desk.place.file) as rows:
        rows.execute("update positions set size = 0")
    assert await desk.books.compare(vault, "mock_gold") == []
    assert await desk.held() == {"mock_gold": {"XAU": size}}
    said = price_from("3900"), "ada", "it was delivered", 55
    assert await desk.fills.price(vault, "mock_gold", "XAU", 1, *said) is None
    booked = Difference("XAU", size, 0, price_from("3900"), "operator")
    assert await desk.fills.price(vault, "mock_gold", "XAU", 0, *said) == booked
    assert (await desk.held(), await desk.cash() - cash) == ({}, 3_900_000_000)
    assert await doubted(desk, vault) == []


async def test_an_account_that_shows_something_in_between_was_not_empty_all_the_time(desk_at, vault):
    desk = await desk_at("mock_gold")
    await (await desk.driver()).submit(VenueOrder("by-hand", "XAU", Side.BUY, desk.place.size))
    await desk.books.compare(vault, "mock_gold")

    def has(size):
        with sqlite3.connect(desk.place.file) as rows:
            rows.execute("update positions set size = ?", (size,))

    has(0)
    assert await desk.books.compare(vault, "mock_gold") == []
    desk.books._between_s = 0.5
    has(desk.place.size // 2)
    comparing = asyncio.create_task(desk.books.compare(vault, "mock_gold"))
    while await doubted(desk, vault):
        await asyncio.sleep(0.01)
    has(0)
    # Two looks differ, so nothing is corrected.
    assert await comparing == []
    desk.ahead, desk.books._between_s = EMPTY_FOR, 0.01
    assert await desk.books.compare(vault, "mock_gold") == []
    assert await desk.held() == {"mock_gold": {"XAU": desk.place.size}}
    assert [kind for kind, *_ in await doubted(desk, vault)] == ["venue_empty"]


async def doubted(desk, vault):
    async with desk.pool.connect() as connection:
        return [tuple(one) for one in (await doubts_of(connection, [vault])).get(vault, [])]


async def test_a_venue_that_is_silent_changes_nothing(desk_at, vault):
    desk = await desk_at("hyper")
    async with desk.worker():
        await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
        held = await desk.held()
        await desk.place.faults.go_down()
        found = await compared(desk, 1)
    assert (found.accounts, found.differences, len(found.silent)) == (1, [], 1)
    assert await desk.held() == held


async def test_funding_is_cash_once(desk_at, vault):
    desk = await desk_at("hyper")
    async with desk.worker():
        await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY)))
        before = await desk.cash()
        await desk.place.venue.do(Funding(desk.place.symbol, 100))
        await compared(desk, 1)
        await compared(desk, 2)
    ((paid,), _, _) = await (await desk.place.open()).funding("")
    assert paid.amount < 0
    assert await desk.cash() - before == paid.amount


async def test_what_nobody_knows_a_price_of_is_booked_at_an_operator_s(desk_at, vault):
    desk = await desk_at("polymarket")
    place, wallet = desk.place, Account.from_key(desk.place.key).address.lower()
    await desk.books.compare(vault, "polymarket")
    cash, symbol = await desk.cash(), desk.place.symbol
    desk.prices = VenuePriceRouter({"polymarket": None}, [], lambda leg: None, time.time_ns)
    place.venue.do(Resolved(symbol, price_from("1")))
    place.venue.do(Redeemed(wallet, symbol))
    terms = (vault, "polymarket", symbol)
    said = price_from("0.7"), "ada", "the venue paid seventy cents", 55
    # Before anybody has looked there is nothing to decide.
    assert await desk.fills.price(*terms, 0, *said) is None
    assert await desk.books.compare(vault, "polymarket") == []
    assert [one[0] for one in await doubted(desk, vault)] == ["difference_unpriced"]
    # Nor is it about a position that nobody saw there.
    assert await desk.fills.price(*terms, 1, *said) is None
    assert await desk.fills.price(vault, "polymarket", "another", 0, *said) is None
    booked = Difference(symbol, place.held, 0, price_from("0.7"), "operator")
    assert await desk.fills.price(*terms, 0, *said) == booked
    assert await desk.fills.price(*terms, 0, *said) is None
    assert (await desk.held(), await desk.cash() - cash) == ({}, 3_500_000_000)
    assert await doubted(desk, vault) == []
    assert await desk.books.compare(vault, "polymarket") == []
    [change, _] = await desk.vaults.changes(vault, 9)
    assert change[:4] == (f"polymarket::{symbol} priced at 0.7", "ada", "the venue paid seventy cents", 55)
    told = [one.payload for one in await desk.events() if one.kind == "difference"][-1]
    assert (told["ours"], told["theirs"], told["standing"]) == (place.held, 0, "operator")


@pytest.mark.parametrize(("price", "comes_in"), [("1", 5_000_000_000), ("0", 0)])
async def test_shares_that_are_redeemed_are_booked_at_what_their_market_ended_at(
    desk_at, vault, price, comes_in
):
    """They used to have no price any more, and the vault none that anybody could deal at, for ever."""
    desk = await desk_at("polymarket")
    place, wallet = desk.place, Account.from_key(desk.place.key).address.lower()
    await desk.books.compare(vault, "polymarket")
    cash = await desk.cash()
    place.venue.do(Resolved(place.symbol, price_from(price)))
    # Held until somebody redeems it, and worth that much.
    assert await desk.books.compare(vault, "polymarket") == []
    before = place.venue.books.exchange.account(wallet)
    money, cost = before.cash, before.held(place.symbol).cost
    place.venue.do(Redeemed(wallet, place.symbol))
    assert place.venue.books.exchange.account(wallet).cash - money + cost == comes_in * 10**10
    gone = Difference(place.symbol, place.held, 0, price_from(price), "resolved")
    assert await desk.books.compare(vault, "polymarket") == [gone]
    assert (await desk.held(), await desk.cash() - cash) == ({}, comes_in)
    assert await doubted(desk, vault) == []
    assert await desk.books.compare(vault, "polymarket") == []


async def test_a_fill_that_does_not_settle_for_long_is_a_doubt_until_it_does(desk_at, vault):
    """It hides whatever was filled after it, and the books knew nothing of that for ever."""
    desk = await desk_at("polymarket")
    place, driver = desk.place, await desk.driver()
    await desk.books.compare(vault, "polymarket")
    await desk.books.collect_all(vault, "polymarket")
    seen = (await desk.fills.accounts())[0].seen_at
    place.venue.settling = False
    await driver.submit(VenueOrder(driver.client_id("slow"), place.symbol, Side.BUY, place.size))
    activities = VenueCollectionActivities(desk.fills, desk.books, desk.clock)
    environment = ActivityEnvironment()
    assert await environment.run(activities.collect_fills) == []
    desk.ahead = UNSETTLED_FOR - 10 * SECOND
    assert await environment.run(activities.collect_fills) == []
    last = (await desk.fills.accounts())[0].seen_at
    assert last - seen >= UNSETTLED_FOR - 10 * SECOND
    assert await doubted(desk, vault) == []
    desk.ahead = UNSETTLED_FOR + 10 * SECOND
    why = "polymarket: a fill has not settled for 10 minutes, and none after it is told"
    assert await environment.run(activities.collect_fills) == [f"{vault} at polymarket: {why}"]
    assert await doubted(desk, vault) == [
        ("venue_silent", "polymarket", f"its fills are not told: {why}"),
    ]
    # Nor is it told by then that the account was read.
    assert (await desk.fills.accounts())[0].seen_at == last
    comparison = VenueReconciliationActivities(desk.fills, desk.books, desk.clock)
    found = await environment.run(comparison.reconcile_venues)
    assert (found.differences, found.silent) == ([], [f"{vault}: {why}"])
    place.venue.settling = True
    assert await environment.run(activities.collect_fills) == []
    assert await doubted(desk, vault) == []
    assert (await environment.run(comparison.reconcile_venues)).silent == []
    assert await desk.held() == {"polymarket": {place.symbol: place.held + place.size}}


async def test_what_is_in_positions_before_its_fill_is_told_is_no_difference(desk_at, vault):
    desk = await desk_at("polymarket")
    place, driver = desk.place, await desk.driver()
    begun = [Difference(place.symbol, 0, place.held, place.price, "venue")]
    assert await desk.books.compare(vault, "polymarket") == begun
    cash = await desk.cash()

    async def settling(on):
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{place.venue.url}/control/settling", json={"settling": on})
            assert answer.status_code == 200

    await settling(False)
    await driver.submit(VenueOrder(driver.client_id("slow"), place.symbol, Side.BUY, place.size))
    assert (await driver.positions())[place.symbol].size == place.held + place.size
    assert await desk.books.compare(vault, "polymarket") == []
    assert (await desk.held(), await desk.cash()) == ({"polymarket": {place.symbol: place.held}}, cash)
    await settling(True)
    assert await desk.books.compare(vault, "polymarket") == []
    assert await desk.held() == {"polymarket": {place.symbol: place.held + place.size}}
    (fill,) = await desk.recorded()
    assert await desk.cash() - cash == -notional_up(fill.price, fill.size) - fill.fee
