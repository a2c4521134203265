"""A withdrawal that nobody works on is taken up by one workflow, however often that is tried and whoever dies over it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.open_withdrawals import OpenWithdrawalActivities, withdrawal_workflow_id
from activities.withdrawals import Closed, Closing, Ending, Payment
from workflows.withdrawal_state import WithdrawalStatus

OPEN = {
    "account": 16,
    "owner": "11111111111111111111111111111112",
    "amount": 5,
    "key": "rent",
    "destination": "",
    "at": 1,
}
NEVER_SIGNED = Closing(Payment(16, str(OPEN["owner"]), 5, "", 7), paid=False, signature="")
"""What `tests/chain/steps/test_last_look.py` has given back also after a later payment; resumed it is not."""
REQUEST = {name: value for name, value in OPEN.items() if name != "at"}


class Door:
    """An operator's door behind which one withdrawal is open; it answers while `answers` is set. `open` is what it lists, in turn, and
    the last one from then on."""

    def __init__(self) -> None:
        self.open = [[OPEN]]
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        await self.answers.wait()
        listed = self.open.pop(0) if len(self.open) > 1 else self.open[0]
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(listed).encode()})


class Workers:
    """Workers that take up what is open, and the one workflow that may come of it."""

    def __init__(self, client: Client, url: str, door: Door) -> None:
        self.client, self.url, self.door = client, url, door

    async def take_up(self) -> None:
        """By a worker that knows nothing of others."""
        door = EngineDoor(self.url, "token")
        try:
            steps = OpenWithdrawalActivities(door, self.client, "test")
            await ActivityEnvironment().run(steps.take_up_withdrawals, 0.0)
        finally:
            await door.close()

    async def run(self) -> str:
        """The run of the workflow that works on it now or was the last to."""
        described = await self.client.get_workflow_handle(withdrawal_workflow_id(16, "rent")).describe()
        return str(described.run_id)


@pytest.fixture
async def workers(client: Client) -> AsyncIterator[Workers]:
    door = Door()
    config = uvicorn.Config(door, port=0, interface="asgi3", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield Workers(client, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", door)
    door.answers.set()
    server.should_exit = server.force_exit = True
    await serving


@pytest.mark.cell("take_up_withdrawals", "killed before")
async def test_a_worker_that_dies_before_it_starts_anything_is_replaced(workers: Workers) -> None:
    workers.door.answers.clear()
    dying = asyncio.create_task(workers.take_up())
    await workers.door.asked.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    workers.door.answers.set()
    await workers.take_up()
    assert await workers.run()


@pytest.mark.cell("take_up_withdrawals", "killed after")
@pytest.mark.cell("take_up_withdrawals", "reply lost")
async def test_taken_up_again_it_is_the_same_run(workers: Workers) -> None:
    """Temporal's answer is all that a dead worker or a lost reply leaves out, and the next try asks for the same."""
    await workers.take_up()
    first = await workers.run()
    await workers.take_up()
    assert await workers.run() == first


@pytest.mark.cell("take_up_withdrawals", "duplicate")
async def test_workers_that_take_it_up_at_once_start_one_run(workers: Workers) -> None:
    await asyncio.gather(*(workers.take_up() for _ in range(5)))
    first = await workers.run()
    await workers.take_up()
    assert await workers.run() == first


@pytest.mark.cell("take_up_withdrawals", "delayed")
async def test_an_hour_later_what_has_ended_is_not_begun_anew(
    workers: Workers, environment: Any, script_of: Any, working: Any
) -> None:
    refused = ApplicationError("closed before", type="withdrawal_closed", non_retryable=True)
    async with working(script_of(reserve=refused)):
        await workers.take_up()
        handle = workers.client.get_workflow_handle(withdrawal_workflow_id(16, "rent"))
        assert (await handle.result())["status"] == WithdrawalStatus.REFUSED
        first = await workers.run()
        await environment.sleep(timedelta(hours=1))
        # It was listed before that end, and is closed by now.
        workers.door.open = [[OPEN], []]
        await workers.take_up()
        assert await workers.run() == first


async def test_what_ended_as_refused_and_is_still_reserved_is_begun_anew_once(
    workers: Workers, environment: Any, script_of: Any, working: Any
) -> None:
    """So an earlier version left it: the first answer to its reservation was lost, and the next one was none of the engine's."""
    lost = ApplicationError("only the operator's token", type="operator_only", non_retryable=True)
    script = script_of(reserve=[lost, 7], finish=Closed(Ending.RELEASED))
    id = withdrawal_workflow_id(16, "rent")
    async with working(script):
        earlier = await workers.client.start_workflow(
            "WithdrawalWorkflow", {**REQUEST, "resumed": False}, id=id, task_queue="test"
        )
        assert (await earlier.result())["status"] == WithdrawalStatus.REFUSED
        first = await workers.run()
        await asyncio.gather(*(workers.take_up() for _ in range(3)))
        second = await workers.run()
        assert second != first
        await workers.take_up()
        assert await workers.run() == second, "it is being worked on"
        # The owner does not sign.
        await environment.sleep(timedelta(hours=1))
        ended = await workers.client.get_workflow_handle(id, run_id=second).query("state")
        assert ended["status"] == WithdrawalStatus.RELEASED
    assert script.names().count("reserve") == 2
    assert [call for call in script.calls if call[0] == "finish"] == [("finish", (NEVER_SIGNED,))]


@pytest.mark.parametrize(
    ("began", "code"),
    [({"resumed": True}, "operator_only"), ({"amount": 6}, "key_conflict"), ({}, "withdrawal_closed")],
    ids=["taken up before", "another's reservation", "another's end"],
)
async def test_what_an_earlier_workflow_may_have_had_signed_stays_unknown(
    workers: Workers, environment: Any, script_of: Any, working: Any, began: dict[str, Any], code: str
) -> None:
    refused = ApplicationError("refused", type=code, non_retryable=True)
    script = script_of(reserve=[refused, 7], finish=Closed(Ending.RELEASED))
    id = withdrawal_workflow_id(16, "rent")
    async with working(script):
        earlier = await workers.client.start_workflow(
            "WithdrawalWorkflow", {**REQUEST, **began}, id=id, task_queue="test"
        )
        assert (await earlier.result())["code"] == code
        await workers.take_up()
        await environment.sleep(timedelta(hours=1))
    assert script.calls[-1] == ("finish", (replace(NEVER_SIGNED, resumed=True),))


async def test_what_was_terminated_stays_unknown(workers: Workers, script_of: Any, working: Any) -> None:
    async with working(script_of(reserve=7)):
        id = withdrawal_workflow_id(16, "rent")
        await workers.client.start_workflow("WithdrawalWorkflow", REQUEST, id=id, task_queue="test")
        handle = workers.client.get_workflow_handle(id)
        await handle.execute_update("reserved")
        await handle.terminate()
        await workers.take_up()
        assert (await handle.query("state"))["request"]["resumed"] is True
