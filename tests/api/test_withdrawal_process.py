"""Withdrawals through the real workflow: what an agent sees from the call to the payment. Only the steps' outer edge is a stand-in."""

import asyncio
import base64
import os
import sysconfig
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from solders.keypair import Keypair
from temporalio import activity
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine_door import EngineDoor
from activities.open_withdrawals import OpenWithdrawalActivities
from activities.withdrawals import (
    Closed,
    Closing,
    Ending,
    MessageToSign,
    Payment,
    PaymentOutcome,
    PaymentStatus,
    Reservation,
)
from api.allowance import Limits
from api.bucket import Rate
from api.collaborators import WithdrawalsUnavailable
from api.withdrawals import TemporalWithdrawals
from matcher import commands as c
from workflows.steps import AGENT, PAYMENTS
from workflows.withdrawals import WithdrawalWorkflow

QUEUE = "withdrawals-test"
MESSAGE = b"transfer 25.5 USDC"
TOO_MUCH = 10**15
DOOR_SHUT: set[str] = set()
"""Keys for which the door does not open, and an earlier version took that for the engine's refusal."""
NOT_LANDED_YET = 3_000_000


@activity.defn(name="reserve")
async def reserve(reservation: Reservation) -> int:
    if reservation.key in DOOR_SHUT:
        raise ApplicationError("no token of an operator", type="operator_only", non_retryable=True)
    if reservation.amount == TOO_MUCH:
        raise ApplicationError("too much", type="withdrawal_too_large", non_retryable=True)
    return 7


@activity.defn(name="build_message")
async def build_message(payment: Payment) -> MessageToSign:
    if payment.amount == NOT_LANDED_YET:
        raise ApplicationError("a batch is on its way", type="funds_not_landed", non_retryable=True)
    return MessageToSign(base64.b64encode(MESSAGE).decode(), 100)


@activity.defn(name="pay")
async def pay(payment: Payment, message: MessageToSign, signature: str) -> PaymentOutcome:
    return PaymentOutcome(PaymentStatus.PAID, "landed")


@activity.defn(name="finish")
async def finish(closing: Closing) -> Closed:
    return Closed(Ending.PAID if closing.paid else Ending.RELEASED, closing.signature)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    server = os.path.join(sysconfig.get_path("scripts"), "temporal-test-server")
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=server, data_converter=pydantic_data_converter
    )
    async with environment:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        request = AddSearchAttributesRequest(search_attributes={AGENT.name: keyword})
        await environment.client.operator_service.add_search_attributes(request)
        yield environment.client


@pytest.fixture
async def process(client: Client) -> AsyncIterator[TemporalWithdrawals]:
    async with (
        Worker(client, task_queue=QUEUE, workflows=[WithdrawalWorkflow], activities=[reserve, build_message]),
        Worker(client, task_queue=QUEUE + PAYMENTS, activities=[pay, finish]),
    ):
        yield TemporalWithdrawals(client, QUEUE)


async def eventually(exchange: Any, agent: Any, id: str, status: str) -> dict[str, Any]:
    for _ in range(200):
        view = (await exchange.http.get(f"/api/v1/withdrawals/{id}", headers=agent.headers)).json()
        if view["status"] == status:
            return dict(view)
    raise AssertionError(view)


async def test_from_the_call_to_the_payment(new_exchange: Any, process: TemporalWithdrawals) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    body = {"amount": "25.5", "key": "w1"}
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    view = await eventually(exchange, agent, started["id"], "awaiting_signature")
    assert base64.b64decode(view["message"]) == MESSAGE
    path = f"/api/v1/withdrawals/{started['id']}/signature"
    wrong = {"signature": str(Keypair().sign_message(MESSAGE))}
    refused = await exchange.http.post(path, json=wrong, headers=agent.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "bad_signature")
    right = {"signature": str(agent.keypair.sign_message(MESSAGE))}
    assert (await exchange.http.post(path, json=right, headers=agent.headers)).json()["status"] == "paying"
    assert (await eventually(exchange, agent, started["id"], "paid"))["signature"] == "landed"
    late = await exchange.http.post(path, json=right, headers=agent.headers)
    assert late.json()["error"]["code"] == "not_awaiting_signature"
    again = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    assert (again["id"], again["status"]) == (started["id"], "paid")


async def test_withdrawals_belong_to_their_account(new_exchange: Any, process: TemporalWithdrawals) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent, other = await exchange.agent("a"), await exchange.agent("b")
    body = {"amount": "25.5", "key": "w1"}
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    await eventually(exchange, agent, started["id"], "awaiting_signature")
    path = f"/api/v1/withdrawals/{started['id']}"
    signature = {"signature": str(agent.keypair.sign_message(MESSAGE))}
    others = await exchange.http.get(path, headers=other.headers)
    signed = await exchange.http.post(path + "/signature", json=signature, headers=other.headers)
    nobodys = await exchange.http.get("/api/v1/withdrawals/withdrawal-1-x", headers=agent.headers)
    for answer in (others, signed, nobodys):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "withdrawal_unknown")
    conflict = await exchange.http.post(
        "/api/v1/withdrawals", json={**body, "amount": "1"}, headers=agent.headers
    )
    assert conflict.json()["error"]["code"] == "key_conflict"
    assert (await eventually(exchange, agent, started["id"], "awaiting_signature"))["signature"] is None


async def test_a_withdrawal_whose_workflow_was_ended_is_taken_up(
    new_exchange: Any, client: Client, process: TemporalWithdrawals
) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    elsewhere = str(Keypair().pubkey())
    ended, paid = [{"amount": "25.5", "key": key, "destination": elsewhere} for key in ("ended", "paid")]
    ids, numbers = {}, {}
    for body in (ended, paid):
        reserve = c.ReserveWithdrawal(agent.account, 25_500_000, body["key"], destination=elsewhere)
        numbers[body["key"]] = (await exchange.engine.ask(reserve))[0].withdrawal
        started = await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)
        ids[body["key"]] = started.json()["id"]
        await eventually(exchange, agent, ids[body["key"]], "awaiting_signature")
    await client.get_workflow_handle(ids["ended"]).terminate()
    signature = {"signature": str(agent.keypair.sign_message(MESSAGE))}
    path = f"/api/v1/withdrawals/{ids['paid']}/signature"
    await exchange.http.post(path, json=signature, headers=agent.headers)
    await eventually(exchange, agent, ids["paid"], "paid")
    await exchange.engine.ask(c.FinishWithdrawal(numbers["paid"], True, "landed"))
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    steps = OpenWithdrawalActivities(door, client, QUEUE)
    try:
        await ActivityEnvironment().run(steps.take_up_withdrawals, 60.0)
        ended_at = (await client.get_workflow_handle(ids["ended"]).describe()).status
        assert ended_at == WorkflowExecutionStatus.TERMINATED  # too young to be forgotten
        for _ in range(2):
            await ActivityEnvironment().run(steps.take_up_withdrawals, 0.0)
    finally:
        await door.close()
    path = f"/api/v1/withdrawals/{ids['ended']}/signature"
    await eventually(exchange, agent, ids["ended"], "awaiting_signature")
    taken_up = await client.get_workflow_handle_for(WithdrawalWorkflow.run, ids["ended"]).query(
        WithdrawalWorkflow.state
    )
    assert (taken_up.request.resumed, taken_up.request.destination) == (True, elsewhere)
    await exchange.http.post(path, json=signature, headers=agent.headers)
    await eventually(exchange, agent, ids["ended"], "paid")
    await eventually(exchange, agent, ids["paid"], "paid")


async def test_what_an_earlier_version_refused_and_left_reserved_goes_on_and_is_paid(
    new_exchange: Any, client: Client, process: TemporalWithdrawals
) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    body = {"amount": "25.5", "key": "left"}
    DOOR_SHUT.add("left")
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    refused = await eventually(exchange, agent, started["id"], "refused")
    assert refused["code"] == "operator_only"
    # Its reservation had been journaled by then: only the answer was lost.
    await exchange.engine.ask(c.ReserveWithdrawal(agent.account, 25_500_000, "left"))
    again = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    assert again == await eventually(exchange, agent, started["id"], "starting")
    assert (again["status"], again["code"]) == ("starting", None)
    DOOR_SHUT.clear()
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    try:
        await ActivityEnvironment().run(
            OpenWithdrawalActivities(door, client, QUEUE).take_up_withdrawals, 0.0
        )
    finally:
        await door.close()
    await eventually(exchange, agent, started["id"], "awaiting_signature")
    signature = {"signature": str(agent.keypair.sign_message(MESSAGE))}
    path = f"/api/v1/withdrawals/{started['id']}/signature"
    await exchange.http.post(path, json=signature, headers=agent.headers)
    assert (await eventually(exchange, agent, started["id"], "paid"))["signature"] == "landed"


async def test_what_is_reserved_is_told_whatever_a_refused_workflow_was_asked_for(
    new_exchange: Any, process: TemporalWithdrawals
) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    elsewhere, body = str(Keypair().pubkey()), {"amount": "20", "key": "left"}
    DOOR_SHUT.add("left")
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    await eventually(exchange, agent, started["id"], "refused")
    DOOR_SHUT.clear()
    await exchange.engine.ask(c.ReserveWithdrawal(agent.account, 25_500_000, "left", destination=elsewhere))
    told = await eventually(exchange, agent, started["id"], "starting")
    assert (told["amount"], told["code"]) == ("25.500000", None)
    right = {**body, "amount": "25.5", "destination": elsewhere}
    for asked, answer in ((right, told), (body, None)):
        found = (await exchange.http.post("/api/v1/withdrawals", json=asked, headers=agent.headers)).json()
        assert found == answer if answer else found["error"]["code"] == "key_conflict"


@pytest.mark.parametrize(("paid", "status"), [(True, "paid"), (False, "released")])
async def test_what_became_of_a_withdrawal_outlives_its_workflow(
    new_exchange: Any, client: Client, process: TemporalWithdrawals, paid: bool, status: str
) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    reserved = await exchange.engine.ask(c.ReserveWithdrawal(agent.account, 25_500_000, "w1"))
    signature = "landed" if paid else ""
    await exchange.engine.ask(c.FinishWithdrawal(reserved[0].withdrawal, paid, signature))
    body = {"amount": "25.5", "key": "w1"}
    again = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    assert (again["status"], again["signature"], again["amount"]) == (status, signature or None, "25.500000")
    path = f"/api/v1/withdrawals/{again['id']}"
    assert (await exchange.http.get(path, headers=agent.headers)).json() == again
    late = {"signature": str(agent.keypair.sign_message(MESSAGE))}
    refused = await exchange.http.post(path + "/signature", json=late, headers=agent.headers)
    assert refused.json()["error"]["code"] == "not_awaiting_signature"
    other = await exchange.http.post(
        "/api/v1/withdrawals", json={**body, "amount": "1"}, headers=agent.headers
    )
    assert other.json()["error"]["code"] == "key_conflict"
    with pytest.raises(RPCError, match="not found"):
        await client.get_workflow_handle(again["id"]).describe()


async def test_a_refused_reservation_says_why(new_exchange: Any, process: TemporalWithdrawals) -> None:
    """Refused by the engine after it was let through: another took the money in between."""
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent(deposit=TOO_MUCH)
    body = {"amount": str(TOO_MUCH // 1_000_000), "key": "w1"}
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    view = await eventually(exchange, agent, started["id"], "refused")
    assert view["code"] == "withdrawal_too_large"


async def test_what_the_engine_refuses_starts_nothing(
    new_exchange: Any, client: Client, process: TemporalWithdrawals
) -> None:
    many = Rate(per_second=10_000, burst=10_000)
    exchange = await new_exchange(
        withdrawals=process, withdrawal_minimum=1_000_000, limits=Limits(account=many, owner=many)
    )
    agent = await exchange.agent(deposit=5_000_000)

    async def refused(amount: str, **more: str) -> tuple[int, str]:
        body = {"amount": amount, "key": "w1", **more}
        answer = await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)
        return answer.status_code, answer.json()["error"]["code"]

    assert await refused("5.000001") == (409, "withdrawal_too_large")
    assert await refused("0.999999") == (409, "withdrawal_too_small")
    assert await refused("0") == (422, "bad_value")
    await exchange.engine.ask(c.HoldWithdrawals(True, who="ada", why="looking"))
    assert await refused("5") == (409, "withdrawals_gated")
    await exchange.engine.ask(c.HoldWithdrawals(False, who="ada", why="looked"))
    with pytest.raises(RPCError, match="not found"):
        await client.get_workflow_handle(f"withdrawal-{agent.account}-w1").describe()
    body = {"amount": "5", "key": "w1"}
    started = await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)
    assert started.status_code == 200
    # From here on its workflow knows.
    await exchange.engine.ask(c.HoldWithdrawals(True, who="ada", why="looking"))
    again = await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)
    assert again.json()["id"] == started.json()["id"]


async def test_a_message_that_cannot_be_built_yet_says_why(
    new_exchange: Any, process: TemporalWithdrawals
) -> None:
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    body = {"amount": "3", "key": "w1"}
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    view = await eventually(exchange, agent, started["id"], "awaiting_signature")
    assert (view["message"], view["code"]) == (None, "funds_not_landed")


@pytest.mark.parametrize("amount", ["25.5", "3"], ids=["a message", "no message yet"])
async def test_reading_again_and_again_uses_up_no_updates(
    new_exchange: Any, client: Client, process: TemporalWithdrawals, amount: str
) -> None:
    """Temporal takes a limited number of them, and the signature is one."""
    exchange = await new_exchange(withdrawals=process)
    agent = await exchange.agent()
    body = {"amount": amount, "key": "w1"}
    started = (await exchange.http.post("/api/v1/withdrawals", json=body, headers=agent.headers)).json()
    first = await eventually(exchange, agent, started["id"], "awaiting_signature")
    reads = [
        exchange.http.get(f"/api/v1/withdrawals/{started['id']}", headers=agent.headers) for _ in range(40)
    ]
    assert all(read.json() == first for read in await asyncio.gather(*reads))
    history = await client.get_workflow_handle(started["id"]).fetch_history()
    kind = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    assert sum(event.event_type == kind for event in history.events) < 20


async def test_without_a_worker_the_outcome_is_unknown(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.withdrawals.RPC_TIMEOUT", timedelta(seconds=0.5))
    process = TemporalWithdrawals(client, QUEUE)
    with pytest.raises(WithdrawalsUnavailable):
        await process.start(16, str(Keypair().pubkey()), 1, "w1", "")
    assert await process.read("withdrawal-16-other") is None
