"""What the Temporal server keeps of a withdrawal, with and without keys, and after they were rotated."""

import asyncio
import base64
import json
from typing import Any

import pytest
from solders.keypair import Keypair
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from activities.withdrawals import Closed, Closing, Ending, MessageToSign, PaymentOutcome, PaymentStatus
from workflows.encryption import PayloadUnreadable, data_converter, read_payload_keys
from workflows.withdrawal_state import WithdrawalRequest, WithdrawalStatus
from workflows.withdrawals import WithdrawalWorkflow

OWNER = Keypair.from_seed(bytes(32))
REQUEST = WithdrawalRequest(16, str(OWNER.pubkey()), 5_123_456, "electricity")
MESSAGE = MessageToSign(base64.b64encode(b"the message that the owner signs").decode(), 150)
PAID = PaymentOutcome(PaymentStatus.PAID, "signature-on-chain")
TROUBLE = ApplicationError("the vault of Zanzibar is closed", type="chain_unavailable")
TOLD = (str(OWNER.pubkey()), "5123456", "electricity", MESSAGE.message, PAID.signature, "Zanzibar")
"""What only a reader of payloads can know."""
PATIENCE_S = 60


def as_asked(closing: Closing) -> Closed:
    return Closed(Ending.PAID if closing.paid else Ending.RELEASED, closing.signature)


async def signed(client: Client) -> str:
    """Start a withdrawal and sign it; its id."""
    handle = await client.start_workflow(
        WithdrawalWorkflow.run, REQUEST, id="withdrawal-1", task_queue="test", memo={"why": "electricity"}
    )
    message = await handle.execute_update(WithdrawalWorkflow.message_to_sign)
    signature = OWNER.sign_message(base64.b64decode(message.message))
    await handle.execute_update(WithdrawalWorkflow.signed, str(signature))
    return handle.id


async def kept(client: Client, id: str) -> WorkflowHistory:
    """The history as the server has it."""
    return await client.get_workflow_handle(id).fetch_history()


def readable(history: WorkflowHistory) -> set[str]:
    """What of `TOLD` can be read in it, in JSON payloads or anywhere else."""
    text = history.to_json()
    text += "".join(payload.data.decode(errors="replace") for payload in payloads(json.loads(text)))
    return {one for one in TOLD if one in text}


def payloads(node: Any) -> list[Payload]:
    """Every payload below a node of a history in JSON."""
    if isinstance(node, dict):
        if "metadata" in node and "encoding" in node["metadata"]:
            metadata = {name: base64.b64decode(value) for name, value in node["metadata"].items()}
            return [Payload(metadata=metadata, data=base64.b64decode(node.get("data", "")))]
        return [one for value in node.values() for one in payloads(value)]
    return [one for value in node for one in payloads(value)] if isinstance(node, list) else []


def scripted(script_of: Any) -> Any:
    return script_of(reserve=7, build_message=MESSAGE, pay=[TROUBLE, PAID], finish=as_asked)


async def test_without_keys_the_server_can_read_everything(client_with, working_with, script_of):
    """Else the next test would show nothing."""
    client = await client_with(None)
    async with working_with(client, scripted(script_of)):
        id = await signed(client)
        await client.get_workflow_handle(id).result()
    assert readable(await kept(client, id)) == set(TOLD)


async def test_with_a_key_the_server_keeps_ciphertext(client_with, working_with, script_of, keys, workflows):
    path = keys("2026-a")
    client = await client_with(path)
    async with working_with(client, scripted(script_of)):
        id = await signed(client)
        handle = client.get_workflow_handle_for(WithdrawalWorkflow.run, id)
        ended = await handle.result()
        assert (await handle.query(WithdrawalWorkflow.state)).status == WithdrawalStatus.PAID
        assert await (await handle.describe()).memo() == {"why": "electricity"}
    assert (ended.status, ended.signature) == (WithdrawalStatus.PAID, PAID.signature)
    history = await kept(client, id)
    assert readable(history) == set()
    found = payloads(json.loads(history.to_json()))
    # Search attributes are the server's own: it finds workflows by them.
    clear = [one for one in found if one.metadata["encoding"] != b"binary/encrypted"]
    assert {one.metadata.get("type") for one in clear} <= {b"Keyword"}
    assert {one.metadata["encryption-key-id"] for one in found if one not in clear} == {b"2026-a"}
    assert len({one.data for one in found}) == len(found)
    async with asyncio.timeout(PATIENCE_S):
        await Replayer(workflows=workflows, data_converter=data_converter(path)).replay_workflow(history)


async def test_a_workflow_goes_on_over_a_new_key_and_the_old_one_is_still_read(
    client_with, working_with, script_of, keys, workflows
):
    """In the clear, then with one key, then with another: each worker takes up what the one before left."""
    plain, first, both = await client_with(None), keys("2026-a"), keys("2026-b", "2026-a")
    script = script_of(reserve=7, build_message=MESSAGE, pay=PAID, finish=as_asked)
    async with working_with(plain, script):
        handle = await plain.start_workflow(
            WithdrawalWorkflow.run, REQUEST, id="withdrawal-1", task_queue="test"
        )
        await handle.execute_update(WithdrawalWorkflow.reserved)
    older = await client_with(first)
    async with working_with(older, script):
        message = await older.get_workflow_handle_for(WithdrawalWorkflow.run, handle.id).execute_update(
            WithdrawalWorkflow.message_to_sign
        )
    newer = await client_with(both)
    async with working_with(newer, script):
        signature = OWNER.sign_message(base64.b64decode(message.message))
        going = newer.get_workflow_handle_for(WithdrawalWorkflow.run, handle.id)
        await going.execute_update(WithdrawalWorkflow.signed, str(signature))
        assert (await going.result()).status == WithdrawalStatus.PAID
    history = await kept(newer, handle.id)
    used = {one.metadata.get("encryption-key-id") for one in payloads(json.loads(history.to_json()))}
    assert used == {None, b"2026-a", b"2026-b"}
    async with asyncio.timeout(PATIENCE_S):
        await Replayer(workflows=workflows, data_converter=data_converter(both)).replay_workflow(history)
    alone = await client_with(keys("2026-b"))
    with pytest.raises(PayloadUnreadable, match="2026-a"):
        await alone.get_workflow_handle_for(WithdrawalWorkflow.run, handle.id).execute_update(
            WithdrawalWorkflow.message_to_sign,
            id=await _update_of(history),
            result_type=MessageToSign,
        )


async def _update_of(history: WorkflowHistory) -> str:
    """Id of the update that was answered with the older key: asking for it again gives the answer that is kept."""
    for event in history.events:
        accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request
        if accepted.input.name == "message_to_sign":
            return str(accepted.meta.update_id)
    raise AssertionError("the history has no such update")


async def test_histories_from_before_there_was_a_key_replay(histories, keys, workflows):
    replayer = Replayer(workflows=workflows, data_converter=data_converter(keys("2026-a")))
    assert histories
    for path in histories:
        text = json.loads(path.read_text())
        async with asyncio.timeout(PATIENCE_S):
            await replayer.replay_workflow(WorkflowHistory.from_json(text.pop("workflow_id"), text))


async def test_what_was_changed_is_not_read(keys):
    codec = read_payload_keys(keys("a", "b"))
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'{"amount": 5}')
    (encrypted,) = await codec.encode([payload])
    assert await codec.decode([encrypted, payload]) == [payload, payload]
    for place in range(len(encrypted.data)):
        changed = Payload(metadata=encrypted.metadata, data=encrypted.data)
        changed.data = changed.data[:place] + bytes([changed.data[place] ^ 1]) + changed.data[place + 1 :]
        with pytest.raises(PayloadUnreadable, match="not what was encrypted"):
            await codec.decode([changed])
    for id in (b"b", b"", b"\xff"):
        renamed = Payload(metadata={**encrypted.metadata, "encryption-key-id": id}, data=encrypted.data)
        with pytest.raises(PayloadUnreadable):
            await codec.decode([renamed])
    with pytest.raises(PayloadUnreadable):
        await codec.decode([Payload(metadata=encrypted.metadata)])
