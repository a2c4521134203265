"""A worker whose account at a venue is not the vault's: nothing is sent from it, and nothing that it says is believed."""

from temporalio.testing import ActivityEnvironment

from activities.order_rules import OrderAsked
from activities.orders import UNSENT
from activities.venue_collection import VenueCollectionActivities
from core.market import Side
from core.quantities import SECOND
from venues.driver import VenueOrder

OTHER = "mock_gold: the account there is another one than the vault has"
TAKEN = "mock_gold: the account there is another vault's"


async def test_another_account_is_neither_read_nor_traded(desk_of, places, tmp_path, vault):
    """It has nothing, and so all that the vault held was booked as sold."""
    place, account = places["mock_gold"](tmp_path, None), ["mine"]

    async def opening(vault):
        return await place.open(account=account[0])

    desk = await desk_of("mock_gold", place, opening)
    run = ActivityEnvironment().run
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "one", "ada")
    await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    await desk.books.collect(vault, "mock_gold")
    held, cash = await desk.held(), await desk.cash()
    assert held == {"mock_gold": {place.symbol: place.size}}
    account[0] = "found"
    await desk.drivers.close()
    asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "two", "ada")
    step = await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    assert (step.kind, step.code, step.words) == (UNSENT, "venue_account_missing", OTHER)
    compared = await run(desk.reconciling.reconcile_venues)
    assert (compared.differences, compared.silent) == ([], [f"{vault}: {OTHER}"])
    # Whoever deals with the vault hears of it.
    silent = await run(VenueCollectionActivities(desk.fills, desk.books).collect_fills)
    assert silent == [f"{vault} at mock_gold: {OTHER}"]
    assert (await desk.held(), await desk.cash()) == (held, cash)
    assert await (await desk.driver()).positions() == {}
    account[0] = "mine"
    await desk.drivers.close()
    assert (await run(desk.reconciling.reconcile_venues)).silent == []
    assert await run(VenueCollectionActivities(desk.fills, desk.books).collect_fills) == []


async def test_one_account_is_not_two_vaults(desk_of, places, tmp_path, vault):
    """Both held the whole of what was there."""
    place = places["mock_gold"](tmp_path, None)
    desk = await desk_of("mock_gold", place, None, (vault, "other"))
    await (await desk.driver()).submit(VenueOrder("by-hand", "XAU", Side.BUY, place.size))
    assert len(await desk.books.compare(vault, "mock_gold")) == 1
    asked = OrderAsked.of("other", desk.ticket(Side.BUY), "one", "ada")
    step = await ActivityEnvironment().run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    assert (step.kind, step.code, step.words) == (UNSENT, "venue_account_missing", TAKEN)
    silent = (await ActivityEnvironment().run(desk.reconciling.reconcile_venues)).silent
    assert silent == [f"other: {TAKEN}"]
    assert await desk.held("other") == {}
    assert len(await desk.told()) == 1
