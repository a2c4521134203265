"""Taking up orders at venues that nobody works on: they have not ended, and their workflow is gone, perhaps with Temporal's data."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeats import heartbeats
from activities.order_rules import OrderAsked, asked_of, stands_for, unsent
from core.quantities import SECOND
from ledger.venue_orders import ENDED, Standing, StoredOrder, VenueOrders

_log = structlog.get_logger("orders")
ORDER_WORKFLOW: Final = "OrderWorkflow"
LEFT_FOR: Final = 60 * SECOND
"""An order that nothing has happened to for so long is asked after. Nothing happens to most: they wait at their venues."""
PATIENCE: Final = 60 * SECOND
"""How long after it was accepted an order is sent of which nobody said until when."""
AT_ONCE: Final = 16


class OpenOrderActivities:
    """Over the ledger, and the worker's own client."""

    def __init__(self, orders: VenueOrders, client: Client, clock: Callable[[], int]) -> None:
        self._orders = orders
        self._client = client
        self._clock = clock

    @activity.defn
    async def take_up_orders(self) -> int:
        """Start the workflow of each order that has not ended, unless it runs; how many had none. They run where this does.

        It goes on from the ledger: what may have been sent the venue is asked for, what was not is sent or given up by its own time.
        """
        queue, room = activity.info().task_queue, asyncio.Semaphore(AT_ONCE)

        async def one(order: StoredOrder) -> bool:
            async with room:
                return await self._taken_up(order, queue)

        async with heartbeats():
            left = await self._orders.left(self._clock() - LEFT_FOR)
            return sum(await asyncio.gather(*map(one, left)))

    async def _taken_up(self, order: StoredOrder, queue: str) -> bool:
        """Whether it had no workflow."""
        if await _runs(self._client, order.ticket):
            return False
        # One whose workflow ended by itself meanwhile had ended in the ledger before.
        now = await self._orders.order(order.ticket)
        if now is None or now.status in ENDED:
            return False
        await take_up(self._client, queue, now)
        _log.error("an order that nobody worked on is taken up", ticket=now.ticket, status=now.status)
        return True


async def _runs(client: Client, ticket: str) -> bool:
    try:
        found = await client.get_workflow_handle(order_id(ticket)).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status == WorkflowExecutionStatus.RUNNING


async def take_up(client: Client, queue: str, order: StoredOrder, cancelled: bool = False) -> None:
    """Start the workflow of an order that has not ended, unless it runs.

    `cancelled`: whatever of it is not at the venue is not sent any more.
    """
    request = {
        "asked": asdict(asked_of(order)),
        "not_after": order.not_after or order.at + PATIENCE,
        "resumed": True,
        "cancelled": cancelled,
    }
    await client.start_workflow(
        ORDER_WORKFLOW,
        request,
        id=order_id(order.ticket),
        task_queue=queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"{order.symbol} at {order.venue} for {order.vault}, taken up",
    )


def order_id(ticket: str) -> str:
    """Workflow id of a ticket's order."""
    return f"order/{ticket}"


def repeats(kept: OrderAsked, asked: OrderAsked) -> bool:
    """Whether what is asked is the same order again as one that is known from the ledger alone."""
    return stands_for(unsent(kept, Standing.ACCEPTED, "", "", 0), asked)
