"""Orders of vaults for any venue: `open`, `close` and `cancel`, each answered as soon as the venue or the rules have."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.open_orders import order_id, repeats, take_up
from activities.order_rules import CLIENT_ID_USED, NOT_RUN_HERE, OrderAsked
from activities.orders import OrderFacts
from core.quantities import Nanos
from core.tickets import SEND_WITHIN, Leg, OrderType, SendWithin, SizeE8, Ticket
from ledger.venue_orders import Standing, StoredOrder
from workflows.order import OrderOutcome, OrderRun, OrderWorkflow

ANSWER_WITHIN_S: Final = 10.0
"""Who asks waits so long for the venue. The order goes on without anybody."""
RPC_TIMEOUT: Final = timedelta(seconds=10)

Handle = WorkflowHandle[OrderWorkflow, OrderOutcome]


class OrdersUnavailable(Exception):
    """Temporal cannot be reached: what became of the call is unknown, and repeating it with the same client id is safe."""


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    try:
        yield
    except (RPCError, RPCTimeoutOrCancelledError, RuntimeError) as error:
        raise OrdersUnavailable(str(error)) from error


class ExecService:
    """Over Temporal. `task_queue` is that of the workers that have the venues; `send_within` says until when orders are sent whose
    tickets do not say."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        within_s: float = ANSWER_WITHIN_S,
        send_within: SendWithin = SEND_WITHIN,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._within_s = within_s
        self._send_within = send_within
        self._clock = clock

    async def open(self, vault: str, ticket: Ticket, placed_by: str = "") -> OrderFacts:
        """Carry out a ticket; the same client id again is the same order, and without one each call is an order of its own.

        Answers with what the venue or the rules say, or with status `accepted` when they have not within the time. Raises
        `OrdersUnavailable`.
        """
        client_id = ticket.client_id or uuid.uuid4().hex
        return await self._placed(OrderAsked.of(vault, ticket, client_id, placed_by), ticket.not_after)

    async def close(
        self,
        vault: str,
        leg: Leg,
        size: SizeE8 | None = None,
        client_id: str = "",
        placed_by: str = "",
        not_after: Nanos | None = None,
    ) -> OrderFacts:
        """Close a position, or `size` of it, at the market. Answers and raises as `open`."""
        asked = OrderAsked(
            vault, client_id or uuid.uuid4().hex, *leg, size=size or 0, close=True, placed_by=placed_by
        )
        return await self._placed(asked, not_after)

    async def cancel(self, vault: str, client_id: str) -> OrderFacts | None:
        """Take an order back; how it stands then, with a `code` where the venue refuses. None: Temporal knows of no such order, has
        forgotten one that ended, or somebody terminated its workflow.

        Raises `OrdersUnavailable`.
        """
        handle = self._handle(order_id(f"{vault}/{client_id}"))
        try:
            async with _reached():
                return await self._within(handle.execute_update(OrderWorkflow.cancel))
        except TimeoutError as late:
            raise OrdersUnavailable("the venue has not answered yet") from late
        except WorkflowUpdateFailedError as refused:
            async with _reached():
                facts = await handle.query(OrderWorkflow.state, rpc_timeout=RPC_TIMEOUT)
            assert facts is not None
            return replace(facts, code=_code(refused), words=str(refused.cause))
        except OrdersUnavailable as error:
            if not _is(error.__cause__, RPCStatusCode.NOT_FOUND):
                raise
        outcome = await self._outcome(order_id(f"{vault}/{client_id}"))
        return None if outcome is None else outcome.facts

    async def take_back(self, order: StoredOrder) -> OrderFacts | None:
        """As `cancel`, of an order that has not ended in the ledger although it has no workflow: it gets one that takes it back.

        Raises `OrdersUnavailable`.
        """
        async with _reached():
            await take_up(self._client, self._task_queue, order, cancelled=True)
        return await self.cancel(order.vault, order.client_id)

    async def order(self, vault: str, client_id: str) -> OrderFacts | None:
        """An order of which the ledger knows nothing: `accepted` while nobody has judged it, or why there never was one.

        None: nobody has heard of it, which says nothing of a call that is still on its way. Raises `OrdersUnavailable`.
        """
        id = order_id(f"{vault}/{client_id}")
        asked, ended = await self._begun_as(id)
        if asked is None:
            return None
        outcome = await self._outcome(id) if ended else None
        return _facts(asked, Standing.ACCEPTED) if outcome is None else outcome.facts

    async def _begun_as(self, id: str) -> tuple[OrderAsked | None, bool]:
        """What an order was begun with, None when there is none, and whether it has ended."""
        handle = self._handle(id)
        async with _reached():
            try:
                found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
                first = await anext(aiter(handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT)))
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return None, False
                raise
        begun = first.workflow_execution_started_event_attributes.input.payloads
        [run] = await self._client.data_converter.decode(begun, [OrderRun])
        return run.asked, found.status != WorkflowExecutionStatus.RUNNING

    async def _placed(self, asked: OrderAsked, not_after: Nanos | None) -> OrderFacts:
        last = self._send_within.not_after(OrderType(asked.order_type), Nanos(self._clock()), not_after)
        start = WithStartWorkflowOperation(
            OrderWorkflow.run,
            OrderRun(asked, not_after=last),
            id=order_id(asked.ticket),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            # One whose workflow was terminated goes on by the ledger.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            static_summary=f"{asked.symbol} at {asked.venue} for {asked.vault}",
        )
        call = self._client.execute_update_with_start_workflow(
            OrderWorkflow.acknowledged, asked, start_workflow_operation=start
        )
        try:
            async with _reached():
                return await self._within(call)
        except TimeoutError:
            # Who began it is told in the call's own way whether it did, but not where the venue is what keeps everybody waiting.
            await asyncio.gather(start.workflow_handle(), return_exceptions=True)
            return await self._begun(asked)
        except WorkflowUpdateFailedError as refused:
            return _facts(asked, Standing.REFUSED, _code(refused), str(refused.cause))
        except OrdersUnavailable as error:
            await _asked_for(start)
            if not _is(error.__cause__, RPCStatusCode.ALREADY_EXISTS):
                raise
        except WorkflowAlreadyStartedError:
            await _asked_for(start)
        # It has ended: the same call again is told what became of it.
        outcome = await self._outcome(order_id(asked.ticket))
        if outcome is None:
            raise OrdersUnavailable("an order has ended, and nobody knows how")
        if outcome.asked != asked and not (outcome.resumed and repeats(outcome.asked, asked)):
            return _facts(asked, Standing.REFUSED, CLIENT_ID_USED, NOT_RUN_HERE[CLIENT_ID_USED])
        return outcome.facts

    async def _within(self, call: Awaitable[OrderFacts]) -> OrderFacts:
        """What a call answers. Raises `TimeoutError` when it is too late; who asked is gone then, and nothing else."""
        # No timeout around it: the client takes a cancelled wait for a failure of its own.
        asking = asyncio.ensure_future(call)
        done, _ = await asyncio.wait({asking}, timeout=self._within_s)
        if not done:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            raise TimeoutError
        return asking.result()

    async def _begun(self, asked: OrderAsked) -> OrderFacts:
        """What to say of an order of which nobody has said anything in time: that it goes on, if it has begun."""
        async with _reached():
            await self._handle(order_id(asked.ticket)).describe(rpc_timeout=RPC_TIMEOUT)
        return _facts(asked, Standing.ACCEPTED)

    async def _outcome(self, id: str) -> OrderOutcome | None:
        """Of an order that has ended; None when there was none, or somebody terminated its workflow."""
        handle = self._handle(id)
        async with _reached():
            try:
                return await handle.result(rpc_timeout=RPC_TIMEOUT)
            except WorkflowFailureError:
                return None
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return None
                raise

    def _handle(self, id: str) -> Handle:
        return self._client.get_workflow_handle_for(OrderWorkflow.run, id)


async def _asked_for(start: "WithStartWorkflowOperation[Any, Any]") -> None:
    """The client tells a failed start twice, and asyncio logs as an error of the process what of it nobody asked for."""
    asking = asyncio.ensure_future(start.workflow_handle())
    await asyncio.wait({asking}, timeout=0)
    # Where there was no connection at all it is never told.
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


def _facts(asked: OrderAsked, status: Standing, code: str = "", words: str = "") -> OrderFacts:
    terms = asked.ticket, asked.venue, asked.symbol, asked.side, asked.size
    return OrderFacts(*terms, status.value, 0, code=code, words=words)


def _code(error: WorkflowUpdateFailedError) -> str:
    return error.cause.type or "" if isinstance(error.cause, ApplicationError) else ""


def _is(error: BaseException | None, status: RPCStatusCode) -> bool:
    return isinstance(error, RPCError) and error.status == status
