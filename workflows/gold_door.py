"""The way of a vault's order into a batch on chain: the driver's side of `GoldSettlementWorkflow`."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from chain.evm.gold_orders import OrderPlace, VaultOrder
from core.quantities import SECOND, Nanos
from venues.errors import Unavailable, Unknown
from workflows.gold_settlement import GOLD_SETTLEMENT, ORDER_LATE, GoldSettlementWorkflow

WITHIN_S: Final = 10.0
"""How long a call waits for the workflow."""
Answer = TypeVar("Answer")


class GoldDoor:
    """Over Temporal. `venue` is how its errors name whom they are about."""

    def __init__(self, client: Client, venue: str, within_s: float = WITHIN_S) -> None:
        self._client = client
        self._venue = venue
        self._within_s = within_s

    async def place(self, order: VaultOrder) -> None:
        """Take an order for the next batch; the same one again changes nothing.

        Raises `Unavailable` where it certainly was not taken, else `Unknown` until the order itself is too late.
        """
        until = Nanos(order.until * SECOND)
        try:
            await self._within(self._handle.execute_update(GoldSettlementWorkflow.place, order))
        except WorkflowUpdateFailedError as refused:
            cause = refused.cause
            words = str(cause)
            if isinstance(cause, ApplicationError) and cause.type == ORDER_LATE:
                raise Unavailable(self._venue, words) from refused
            raise
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise Unavailable(self._venue, "no worker carries out gold orders") from error
            raise Unknown(self._venue, f"no answer: {error}", until) from error
        except (RPCTimeoutOrCancelledError, TimeoutError) as error:
            raise Unknown(self._venue, "no answer in time", until) from error

    async def take_back(self, order: str) -> str:
        """Where an order was: only one that was waiting is taken back. Raises `Unavailable`; asking again does no harm."""
        return await self._told(self._handle.execute_update(GoldSettlementWorkflow.take_back, order))

    async def place_of(self, order: str) -> OrderPlace:
        """Where an order is. Raises `Unavailable`."""
        wait = timedelta(seconds=self._within_s)
        query = self._handle.query(GoldSettlementWorkflow.place_of, order, rpc_timeout=wait)
        return await self._told(query)

    @property
    def _handle(self) -> WorkflowHandle[GoldSettlementWorkflow, None]:
        return self._client.get_workflow_handle_for(GoldSettlementWorkflow.run, GOLD_SETTLEMENT)

    async def _told(self, call: Awaitable[Answer]) -> Answer:
        try:
            return await self._within(call)
        except (RPCError, RPCTimeoutOrCancelledError, TimeoutError) as error:
            raise Unavailable(self._venue, f"no answer: {error!r}") from error

    async def _within(self, call: Awaitable[Answer]) -> Answer:
        """Raises `TimeoutError` when the answer is too late."""
        # No timeout around it: the client takes a cancelled wait for a failure of its own.
        asking = asyncio.ensure_future(call)
        done, _ = await asyncio.wait({asking}, timeout=self._within_s)
        if not done:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            raise TimeoutError
        return asking.result()
