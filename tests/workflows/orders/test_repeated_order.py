"""A ticket that is sent again after its order has ended is answered, and nothing is logged as an error of the process."""

import asyncio
import gc
import os
import sysconfig

import pytest
from temporalio import workflow
from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.order_rules import OrderAsked
from activities.orders import OrderFacts
from core.market import Side
from core.tickets import Ticket, size_from
from workflows.exec_service import ExecService, OrdersUnavailable
from workflows.order import OrderOutcome, OrderRun

QUEUE = "test-repeated"


def filled(asked: OrderAsked) -> OrderFacts:
    return OrderFacts(asked.ticket, asked.venue, asked.symbol, asked.side, asked.size, "filled", asked.size)


@workflow.defn(name="OrderWorkflow")
class Filled:
    """An order that has filled as soon as anybody asks."""

    @workflow.run
    async def run(self, run: OrderRun) -> OrderOutcome:
        await workflow.wait_condition(workflow.all_handlers_finished)
        return OrderOutcome(run.asked, filled(run.asked))

    @workflow.update
    async def acknowledged(self, asked: OrderAsked) -> OrderFacts:
        return filled(asked)


@pytest.fixture
async def environment():
    """The real server: that of tests answers a start that comes too late in another way."""
    server = os.path.join(sysconfig.get_path("scripts"), "temporal")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=server, dev_server_log_level="error"
    ) as started:
        yield started


@workflow.defn(name="OrderWorkflow")
class Kept(Filled):
    """An order that its venue does not give back."""

    @workflow.run
    async def run(self, run: OrderRun) -> OrderOutcome:
        self._asked = run.asked
        await workflow.wait_condition(lambda: False)
        return OrderOutcome(run.asked, filled(run.asked))

    @workflow.update
    async def acknowledged(self, asked: OrderAsked) -> OrderFacts:
        return filled(asked)

    @workflow.update
    async def cancel(self) -> OrderFacts:
        raise ApplicationError("its batch is being carried out", type="in_batch")

    @workflow.query
    def state(self) -> OrderFacts:
        return filled(self._asked)


class Unreached(Interceptor):
    """Temporal cannot be reached by who asks how an order stands, as long as `unreached`."""

    unreached = True

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        interceptor = self

        class Asking(OutboundInterceptor):
            async def query_workflow(self, input):
                if interceptor.unreached:
                    raise RPCError("no connection", RPCStatusCode.UNAVAILABLE, b"")
                return await super().query_workflow(input)

        return Asking(next)


async def test_a_cancel_that_is_refused_while_temporal_goes_away_is_unavailable(client):
    lost = Unreached()
    told = client.config() | {"interceptors": [lost]}
    service = ExecService(Client(**told), QUEUE)
    ticket = Ticket("XAU", size_from("1"), Side.BUY, "mock_gold", client_id="kept")
    runner = UnsandboxedWorkflowRunner()
    async with (
        asyncio.timeout(60),
        Worker(client, task_queue=QUEUE, workflows=[Kept], workflow_runner=runner),
    ):
        await service.open("fund", ticket)
        with pytest.raises(OrdersUnavailable):
            await service.cancel("fund", "kept")
        lost.unreached = False
        facts = await service.cancel("fund", "kept")
    assert (facts.status, facts.code) == ("filled", "in_batch")


async def test_a_ticket_sent_again_leaves_no_error_behind(environment):
    service, ticket = (
        ExecService(environment.client, QUEUE),
        Ticket("XAU", size_from("1"), Side.BUY, "mock_gold", client_id="again"),
    )
    logged = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context["message"]))
    runner = UnsandboxedWorkflowRunner()
    async with (
        asyncio.timeout(60),
        Worker(environment.client, task_queue=QUEUE, workflows=[Filled], workflow_runner=runner),
    ):
        first = await service.open("fund", ticket)
        await environment.client.get_workflow_handle(f"order/{first.ticket}").result()
        assert await service.open("fund", ticket) == first
        gc.collect()
        assert logged == []
