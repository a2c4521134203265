"""A Temporal test server that skips time, a worker whose activities answer from a script, and the histories kept for replay.

`pytest tests/workflows --record-histories` writes `histories/` anew, from the runs of these tests: do so when a workflow changed in a
way that its running instances need not survive.
"""

import asyncio
import functools
import json
import os
import sysconfig
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import worker as worker_process
from activities.deposits import DepositActivities
from activities.exits import ExitActivities
from activities.funding import FundingActivities
from activities.gold_settlement import GoldSettlementActivities
from activities.nav import NavActivities
from activities.open_withdrawals import OpenWithdrawalActivities
from activities.reconciliation import ReconciliationActivities
from activities.rotation import RotationActivities
from activities.schedules import ScheduleActivities
from activities.settlement import SettlementActivities
from activities.slots import SlotActivities
from activities.sweep import SweepActivities
from activities.venue_collection import VenueCollectionActivities
from activities.withdrawals import WithdrawalActivities
from worker import Steps
from workflows.gold_settlement import GoldSettlementWorkflow
from workflows.nav import NavWorkflow
from workflows.order import OrderWorkflow
from workflows.schedules import KEYWORDS
from workflows.steps import PAYMENTS
from workflows.venue_reconciliation import VenueReconciliationWorkflow

TASK_QUEUE = "test"
TEST_LIFE_S = 60
"""Longest that a test may take on a busy machine."""
HISTORIES = Path(__file__).with_name("histories")
PLACES = (
    (sysconfig.get_path("purelib"), "site-packages/"),
    (sysconfig.get_path("stdlib"), "python/"),
    (str(Path(__file__).parents[2]), ""),
)
"""Where code lies on this machine, and what a kept history says instead; the innermost first."""
WORKFLOWS = [
    *worker_process.WORKFLOWS,
    GoldSettlementWorkflow,
    NavWorkflow,
    OrderWorkflow,
    VenueReconciliationWorkflow,
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-histories", action="store_true", help="write tests/workflows/histories anew")


class Script:
    """Answers activities by name: a value, an exception to raise, or a list of them in turn (the last one stays).

    `calls` is every (name, arguments) in the order they began. Functions are called with the arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = {
            name: answer if isinstance(answer, list) else [answer] for name, answer in answers.items()
        }
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def activities(self, methods: list[Callable[..., Any]]) -> list[Callable[..., Any]]:
        return [self._stand_in(method) for method in methods]

    def _stand_in(self, method: Callable[..., Any]) -> Callable[..., Any]:
        name = method.__name__

        @functools.wraps(method, updated=())
        async def answer(_: object, *arguments: Any) -> Any:
            self.calls.append((name, arguments))
            script = self.answers[name]
            result = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(result, BaseException):
                raise result
            if callable(result):
                result = result(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return types.MethodType(activity.defn(name=name)(answer), self)


METHODS: list[Callable[..., Any]] = [
    getattr(owner, name)
    for owner in (
        SettlementActivities,
        ReconciliationActivities,
        ScheduleActivities,
        DepositActivities,
        ExitActivities,
        SlotActivities,
        WithdrawalActivities,
        OpenWithdrawalActivities,
        FundingActivities,
        SweepActivities,
        RotationActivities,
        GoldSettlementActivities,
        NavActivities,
        VenueCollectionActivities,
    )
    for name, member in vars(owner).items()
    if hasattr(member, "__temporal_activity_definition")
]


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time while a test waits for a workflow's result, or sleeps by `environment.sleep`."""
    server = os.path.join(sysconfig.get_path("scripts"), "temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=server) as environment:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(search_attributes={key.name: keyword for key in KEYWORDS})
        )
        yield environment


@pytest.fixture
def client(environment: WorkflowEnvironment) -> Client:
    return environment.client


@asynccontextmanager
async def worker(client: Client, script: Script) -> AsyncIterator[None]:
    # The bound is here and not in a fixture, for a fixture's setup is a task of its own, which is over when the time is.
    async with (
        asyncio.timeout(TEST_LIFE_S),
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=WORKFLOWS,
            activities=script.activities(METHODS),
        ),
        Worker(client, task_queue=TASK_QUEUE + PAYMENTS, activities=script.activities(METHODS)),
    ):
        yield


@pytest.fixture
def script_of() -> type[Script]:
    return Script


@pytest.fixture
def working(client: Client) -> Callable[[Script], AbstractAsyncContextManager[None]]:
    return functools.partial(worker, client)


@pytest.fixture
def real_worker(client: Client) -> Callable[[Script], AbstractAsyncContextManager[None]]:
    """The worker as it is deployed, with its queues and limits, over scripted steps."""

    def working(script: Script) -> AbstractAsyncContextManager[None]:
        methods = {
            method.__name__: stand_in
            for method, stand_in in zip(METHODS, script.activities(METHODS), strict=True)
        }
        every = types.SimpleNamespace(**methods)
        return worker_process.working(client, TASK_QUEUE, Steps(**{one.name: every for one in fields(Steps)}))

    return working


@pytest.fixture
def keep_history(request: pytest.FixtureRequest) -> Callable[..., Awaitable[None]]:
    """Have a workflow's history kept as `histories/<name>.json` when histories are recorded."""

    async def keep(client: Client, name: str, workflow_id: str, run_id: str | None = None) -> None:
        if request.config.getoption("--record-histories", default=False):
            history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
            kept = {"workflow_id": workflow_id, **history.to_json_dict()}
            (HISTORIES / f"{name}.json").write_text(
                without_places(json.dumps(kept, separators=(",", ":"))) + "\n"
            )

    return keep


def without_places(history: str) -> str:
    """A history as it would be recorded anywhere: the stack traces of its failures name no directory of this machine."""
    for place, name in PLACES:
        history = history.replace(f"{place}/", name)
    return history


@pytest.fixture
def workflows() -> list[type]:
    return WORKFLOWS
