"""A vault that trades at a local venue is worth what the venue's own fills and middle come to."""

import asyncio
from fractions import Fraction
from math import floor

import pytest
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.nav import NavActivities, NavInstant
from activities.order_rules import OrderAsked
from activities.orders import PLACED, facts_of
from activities.venue_collection import SEEN_WITHIN, VenueCollectionActivities
from activities.venue_reconciliation import COMPARED_WITHIN, VenueReconciliationActivities
from core.market import Side
from core.nav_snapshot import TransferKind
from core.quantities import SECOND
from core.tickets import OrderType, TimeInForce, notional_down, notional_up
from ledger.nav import NavSnapshots
from ledger.nav_reads import NavReads
from ledger.vault_transfers import Transfer, VaultTransfers
from venues.driver import Acknowledged, VenueOrder
from venues.errors import AccountMissing
from workflows.nav import NavWorkflow

PATIENCE_S = 60
QUEUE = "test-nav"
PAID_IN = 10**11


@pytest.fixture(autouse=True)
async def bounded():
    async with asyncio.timeout(PATIENCE_S):
        yield


async def traded_elsewhere(desk):
    driver = await desk.driver()
    name = driver.client_id("elsewhere")
    order = VenueOrder(
        name, desk.place.symbol, Side.SELL, desk.place.size, OrderType.MARKET, None, TimeInForce.IOC
    )
    assert isinstance(await driver.submit(order), Acknowledged)


@pytest.mark.parametrize("venue", ["mock_gold", "hyper"])
async def test_a_vault_is_worth_what_its_venue_says(desk_at, environment, venue, vault):
    desk = await desk_at(venue)
    wanted = Transfer("one", 17, TransferKind.DEPOSIT, PAID_IN, 0, "waiting", "", "ada", 1, 0)
    await VaultTransfers(desk.pool).ask(vault, wanted)
    steps = NavActivities(NavSnapshots(desk.pool), desk.prices, desk.clock)
    collecting = VenueCollectionActivities(desk.fills, desk.books)
    valuing = Worker(
        desk.client,
        task_queue=QUEUE,
        workflows=[NavWorkflow],
        activities=[collecting.collect_fills, steps.price_legs, steps.take_snapshots],
    )
    # Prices are of now, and so must be the instants that they are asked for.
    with environment.auto_time_skipping_disabled():
        async with desk.worker(), valuing:
            rounds = []
            for number in range(2):
                rounds.append(
                    await desk.client.execute_workflow(NavWorkflow.run, id=f"nav-{number}", task_queue=QUEUE)
                )
                if not number:
                    ticket = desk.ticket(Side.SELL, client_id="first")
                    await desk.ended(await desk.exec.open(vault, ticket, "ada"))
                    # Nobody here is told of this one, until the venue is asked.
                    await traded_elsewhere(desk)
    assert [(one.vaults, one.legs, one.alerts) for one in rounds] == [(1, 0, []), (1, 1, [])]
    told = await desk.told()
    cash = PAID_IN + sum(
        (-notional_up(one.price, one.size) if one.side is Side.BUY else notional_down(one.price, one.size))
        - one.fee
        for one in told
    )
    size = sum(int(one.side) * one.size for one in told)
    assert size == -2 * desk.place.size
    newest, first = await NavReads(desk.pool).history(vault, 1 << 62, 9)
    [leg] = newest.legs
    assert (first.cash, first.nav, first.shares, newest.shares) == (0, 0, 0, PAID_IN)
    assert (leg.leg.venue, leg.source, leg.standing) == (venue, f"{venue} mid", "venue")
    assert (newest.cash, leg.size) == (cash, size)
    assert newest.nav == cash + floor(Fraction(size * leg.price, 10**10))


async def test_who_does_not_tell_in_time_is_named_and_not_waited_for(desk_at, vault):
    desk = await desk_at("mock_gold")
    async with desk.worker():
        await desk.ended(await desk.exec.open(vault, desk.ticket(Side.BUY, client_id="first"), "ada"))
    at_once = VenueCollectionActivities(desk.fills, desk.books, patience_s=0)
    run = ActivityEnvironment().run
    silent = await run(at_once.collect_fills)
    assert silent == [f"{vault} at mock_gold: no answer in time"]
    # What was filled there until now may be missing: nobody deals at such a value.
    wanted = Transfer("one", 17, TransferKind.OPENING, 0, 0, "waiting", "", "ada", 1, 0)
    await VaultTransfers(desk.pool).ask(vault, wanted)
    steps = NavActivities(NavSnapshots(desk.pool), desk.prices, desk.clock)
    assert await doubts(desk, vault, steps) == ["venue_silent"]
    (alert,) = await NavReads(desk.pool).alerts(vault, 1 << 62, 9)
    assert (alert.leg, alert.sentence) == ("mock_gold", "its fills are not told: no answer in time")
    assert (await VaultTransfers(desk.pool).transfers(vault, 1))[0].status == "waiting"
    assert await run(VenueCollectionActivities(desk.fills, desk.books).collect_fills) == []
    assert await doubts(desk, vault, steps) == []


async def test_who_could_not_be_asked_in_time_comes_first_the_next_time(desk_of, places, tmp_path):
    vaults, begun, later = [f"fund-{n:02}" for n in range(20)], [], asyncio.Event()
    place = places["mock_gold"](tmp_path, None)

    async def opening(vault):
        begun.append(vault)
        if len(begun) > 8:
            await later.wait()
        return await place.open(account=vault)

    desk = await desk_of("mock_gold", place, opening, vaults)
    for name in vaults:
        await desk.fills.begin(name, "mock_gold", "", "", "", 1)

    async def silent(round_s):
        collecting = VenueCollectionActivities(desk.fills, desk.books, desk.clock, round_s=round_s)
        return [one.partition(" ")[0] for one in await ActivityEnvironment().run(collecting.collect_fills)]

    assert await silent(1.5) == vaults[8:]
    assert [one.vault for one in await desk.fills.accounts()] == vaults[8:] + vaults[:8]
    later.set()
    assert await silent(30) == []
    # All of them told lately: that the next round has no time for any says nothing, until that is long ago.
    assert await silent(0) == []
    desk.ahead = SEEN_WITHIN + SECOND
    assert await silent(0) == vaults


async def test_whom_nobody_may_ask_for_now_is_not_silent(desk_at, vault, monkeypatch):
    desk, run = await desk_at("hyper"), ActivityEnvironment().run
    await desk.books.collect_all(vault, "hyper")
    monkeypatch.setattr("venues.budget.PATIENCE_S", 0.05)
    (await desk.driver())._budget.spend(800)
    collecting = VenueCollectionActivities(desk.fills, desk.books, desk.clock, round_s=0.3)
    assert await run(collecting.collect_fills) == []
    assert (await run(desk.reconciling.reconcile_venues)).silent == []
    desk.ahead = SEEN_WITHIN + SECOND
    why = "it could not be asked in time, nor in the minutes before"
    assert await run(collecting.collect_fills) == [f"{vault} at hyper: {why}"]
    # Nor is it unseen that positions could not be compared for long, whoever was told of fills meanwhile.
    await desk.fills.seen(vault, "hyper", desk.clock())
    desk.ahead = COMPARED_WITHIN - 10 * SECOND
    assert (await run(desk.reconciling.reconcile_venues)).silent == []
    desk.ahead = COMPARED_WITHIN + 10 * SECOND
    (said,) = (await run(desk.reconciling.reconcile_venues)).silent
    assert said.startswith(f"{vault}: hyper: not compared for 6")
    (await desk.driver())._budget._spent.clear()
    (await desk.driver())._budget._in_all = 0
    assert (await run(desk.reconciling.reconcile_venues)).silent == []
    (await desk.driver())._budget.spend(800)
    assert (await run(desk.reconciling.reconcile_venues)).silent == []


async def test_a_comparison_ends_with_whom_it_has_had_no_time_for_first_in_the_next(
    desk_of, places, tmp_path
):
    vaults, begun, later = [f"fund-{n:02}" for n in range(10)], [], asyncio.Event()
    place = places["mock_gold"](tmp_path, None)

    async def opening(vault):
        begun.append(vault)
        if len(begun) > 4:
            await later.wait()
        return await place.open(account=vault)

    desk = await desk_of("mock_gold", place, opening, vaults)
    for name in vaults:
        await desk.fills.begin(name, "mock_gold", "", "", "", 1)
    run = ActivityEnvironment().run
    comparing = VenueReconciliationActivities(desk.fills, desk.books, desk.clock, round_s=1.5)
    assert (await run(comparing.reconcile_venues)).silent == []
    told = begun[:4]
    later.set()
    # Collecting has told of all others since, which compares nothing.
    for name in vaults:
        if name not in told:
            await desk.fills.seen(name, "mock_gold", desk.clock())
    assert [one.vault for one in await desk.fills.accounts()][:4] == told
    assert (await run(comparing.reconcile_venues)).accounts == 10
    assert [one.vault for one in await desk.fills.accounts()][-4:] == told


async def doubts(desk, vault, steps):
    """Why nobody dealt at a snapshot of now."""
    instant = NavInstant(desk.clock())
    await ActivityEnvironment().run(steps.price_legs, instant)
    await ActivityEnvironment().run(steps.take_snapshots, instant)
    return (await NavReads(desk.pool).latest([vault]))[vault].doubts


async def test_what_is_wrong_with_one_account_is_a_doubt_about_that_one_alone(
    desk_of, places, tmp_path, vault
):
    place, (fine, broken, unset) = places["mock_gold"](tmp_path, None), (vault, "broken", "unset")

    async def opening(vault):
        if vault == "unset":
            raise AccountMissing("mock_gold", "the vault's account there is not set up")
        if vault == "broken":
            raise RuntimeError("/keys/venues/broken.key")
        return await place.open()

    desk = await desk_of("mock_gold", place, opening, (fine, broken, unset))
    run = ActivityEnvironment().run
    for name in (fine, broken, unset):
        await desk.fills.begin(name, "mock_gold", "", "", "", 1)
    by_hand = VenueOrder("by-hand", place.symbol, Side.BUY, place.size)
    await (await desk.driver()).submit(by_hand)
    assert await run(VenueCollectionActivities(desk.fills, desk.books).collect_fills) == [
        "broken at mock_gold: it cannot be read: RuntimeError",
        "unset at mock_gold: mock_gold: the vault's account there is not set up",
    ]
    assert await desk.held(fine) == {"mock_gold": {place.symbol: place.size}}
    compared = await run(desk.reconciling.reconcile_venues)
    assert (compared.accounts, compared.differences) == (3, [])
    assert sorted(compared.silent) == [
        "broken: mock_gold: it cannot be read: RuntimeError",
        "unset: mock_gold: the vault's account there is not set up",
    ]
    # And whoever sends a ticket for such a vault hears it by a code of its own.
    asked = OrderAsked.of(unset, desk.ticket(Side.BUY), "one", "ada")
    step = await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    assert (step.kind, step.facts.status, step.facts.code) == (PLACED, "refused", "venue_account_missing")
    assert step.facts.words == "The vault's account at that venue is not set up."
    # Also when it is set up by then.
    assert facts_of(await desk.orders.order(asked.ticket)) == step.facts
