"""Orders that have not ended and whose workflow is gone: they go on from the ledger, and nothing is sent twice."""

from dataclasses import replace

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.open_orders import order_id
from activities.order_rules import OrderAsked, unsent
from api.quant import VaultTrading
from core.market import Side
from core.quantities import SECOND
from core.tickets import OrderType, PriceE8
from ledger.venue_orders import Standing
from workflows.order import OrderWorkflow
from workflows.venue_reconciliation import VenueReconciliationWorkflow


@pytest.fixture
async def desk(desk_at):
    return await desk_at("hyper")


def resting(desk, name, **changes):
    """A limit order far from the market, which waits."""
    given = {"order_type": OrderType.LIMIT, "limit_price": PriceE8(desk.place.price // 2), "client_id": name}
    return desk.ticket(Side.BUY, **given | changes)


async def terminated(desk, ticket):
    await desk.client.get_workflow_handle(order_id(ticket)).terminate("lost")


async def minute(desk, number, later=61):
    """The minute's comparison, after so many seconds in which nothing has happened to any order."""
    desk.ahead += later * SECOND
    await desk.client.execute_workflow(
        VenueReconciliationWorkflow.run, id=f"minute-{number}", task_queue="test-orders"
    )


async def test_one_that_waits_is_followed_again_and_repeated_and_taken_back(desk, vault):
    async with desk.worker():
        ticket = resting(desk, "rests")
        facts = await desk.exec.open(vault, ticket)
        assert facts.status == "open"
        handle = desk.client.get_workflow_handle_for(OrderWorkflow.run, order_id(facts.ticket))
        first = (await handle.describe()).run_id
        await minute(desk, 1)
        # It ran: nobody touched it.
        assert (await handle.describe()).run_id == first
        await terminated(desk, facts.ticket)
        await minute(desk, 2)
        again = (await handle.describe()).run_id
        assert again != first
        await minute(desk, 3)
        assert (await handle.describe()).run_id == again
        # The ticket named no leverage, and the ledger has the one that the rules chose: it is the same order all the same.
        repeated = await desk.exec.open(vault, ticket)
        assert (repeated.status, repeated.venue_order_id) == ("open", facts.venue_order_id)
        other = await desk.exec.open(vault, replace(ticket, side=Side.SELL))
        assert other.code == "client_id_used"
        assert (await desk.exec.cancel(vault, "rests")).status == "cancelled"
        assert (await desk.ended(facts)).status == "cancelled"
        # And after its end.
        assert (await desk.exec.open(vault, ticket)).status == "cancelled"
        assert (await desk.exec.open(vault, replace(ticket, side=Side.SELL))).code == "client_id_used"
        assert await desk.told() == []


async def test_one_that_nobody_works_on_is_taken_back_at_the_venue(desk, vault):
    trading = VaultTrading(desk.exec, desk.pool)
    async with desk.worker():
        facts = await desk.exec.open(vault, resting(desk, "rests"))
        await terminated(desk, facts.ticket)
        assert (await trading.cancel(vault, "rests")).status == "cancelled"
        there = await (await desk.driver()).order(
            (await desk.orders.order(facts.ticket)).venue_client_id, facts.symbol
        )
        assert there.status.value == "cancelled"
        # One that nobody had sent is not sent to be taken back.
        asked = OrderAsked.of(vault, desk.ticket(Side.BUY), "kept", "ada")
        assert (await stored(desk, asked, desk.clock() + 60 * SECOND)).status == "accepted"
        facts = await trading.cancel(vault, "kept")
        assert (facts.status, facts.words) == ("not_sent", "It was taken back.")
        assert (await trading.cancel(vault, "kept")) == facts
        assert await trading.cancel(vault, "nobody's") is None
    assert await desk.told() == []


async def test_what_was_kept_and_not_sent_is_sent_while_it_may_be_and_else_given_up(desk, vault):
    ticket = desk.ticket(Side.BUY)
    late, due, lost = (OrderAsked.of(vault, ticket, name, "ada") for name in ("late", "due", "lost"))
    began = desk.clock() - 120 * SECOND
    await stored(desk, late, desk.clock() - SECOND, began)
    await stored(desk, due, desk.clock() + 600 * SECOND, began)
    # This one may have been sent: the venue is asked, and as long as it may still come nothing is sent.
    await stored(desk, lost, desk.clock() + 600 * SECOND, began)
    await desk.orders.move(lost.ticket, Standing.ACCEPTED, Standing.SENT, began)
    async with desk.worker():
        await minute(desk, 1, 0)
        ends = [await desk.ended(one) for one in (late, due)]
        assert [(one.status, one.code) for one in ends] == [("not_sent", "too_late"), ("filled", "")]
        found = await desk.client.get_workflow_handle(order_id(lost.ticket)).describe()
        assert found.status == WorkflowExecutionStatus.RUNNING
    assert (await desk.orders.order(lost.ticket)).status == "sent"
    assert sum(one.size for one in await desk.told()) == desk.place.size
    assert await desk.held() == {"hyper": {desk.place.symbol: desk.place.size}}


async def stored(desk, asked, not_after, at=None):
    """An order as the ledger has it when its workflow was lost just after it was kept."""
    at = desk.clock() if at is None else at
    name = (await desk.driver()).client_id(asked.ticket)
    order = unsent(asked, Standing.ACCEPTED, "", "", at, not_after)
    return await desk.orders.accept(order._replace(venue_client_id=name))
