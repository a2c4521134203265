"""Every way a withdrawal can end, and that the owner is only ever asked, answered and closed once."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import pytest
from solders.keypair import Keypair
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.landing import OPERATOR_SHORT
from activities.withdrawals import (
    Closed,
    Closing,
    Ending,
    MessageToSign,
    Payment,
    PaymentOutcome,
    PaymentStatus,
)
from workflows.withdrawal_state import Decision, WithdrawalRequest, WithdrawalState, WithdrawalStatus
from workflows.withdrawals import BETWEEN_ASKING, MAY_STILL_LAND, OWNER_PATIENCE, WithdrawalWorkflow

OWNER = Keypair.from_seed(bytes(32))
REQUEST = WithdrawalRequest(16, str(OWNER.pubkey()), 5_000_000, "rent")
FIRST, SECOND = (MessageToSign(base64.b64encode(text).decode(), 150) for text in (b"first", b"second"))
PAID = PaymentOutcome(PaymentStatus.PAID, "signature")
EXPIRED = PaymentOutcome(PaymentStatus.EXPIRED, "signature")
REFUSED = PaymentOutcome(PaymentStatus.REFUSED, "signature", "WithdrawalOrder", "The escrow refused it.")

PAYMENT = Payment(16, REQUEST.owner, REQUEST.amount, "", 7)
Handle = WorkflowHandle[WithdrawalWorkflow, WithdrawalState]


async def started(client: Client, name: str) -> Handle:
    return await client.start_workflow(
        WithdrawalWorkflow.run, REQUEST, id=f"withdrawal-{name}", task_queue="test"
    )


async def sign(handle: Handle) -> WithdrawalState:
    """What the owner does: fetch the message, sign it, hand the signature in."""
    message = await handle.execute_update(WithdrawalWorkflow.message_to_sign)
    signature = OWNER.sign_message(base64.b64decode(message.message))
    return await handle.execute_update(WithdrawalWorkflow.signed, str(signature))


def as_asked(closing: Closing) -> Closed:
    """The chain has nothing to add."""
    return Closed(Ending.PAID if closing.paid else Ending.RELEASED, closing.signature)


def closings(script: Any) -> list[Closing]:
    return [arguments[0] for name, arguments in script.calls if name == "finish"]


async def test_it_is_paid(client, script_of, working, keep_history):
    script = script_of(reserve=7, build_message=FIRST, pay=PAID, finish=as_asked)
    async with working(script):
        handle = await started(client, "paid")
        assert (await handle.execute_update(WithdrawalWorkflow.reserved)).withdrawal == 7
        assert (await sign(handle)).status == WithdrawalStatus.PAYING
        ended = await handle.result()
        await keep_history(client, "withdrawal-paid", handle.id)
    assert (ended.status, ended.signature, ended.code) == (WithdrawalStatus.PAID, "signature", "")
    assert closings(script) == [Closing(PAYMENT, True, "signature", 150)]


async def test_a_destination_that_the_escrow_would_refuse_ends_it_before_anybody_signs(
    client, script_of, working
):
    refused = ApplicationError("no such token account", type="bad_destination", non_retryable=True)
    script = script_of(reserve=7, build_message=refused, finish=as_asked)
    async with working(script):
        handle = await started(client, "astray")
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(WithdrawalWorkflow.message_to_sign)
        async with asyncio.timeout(10):
            ended = await handle.result()
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "bad_destination")
    assert closings(script) == [Closing(PAYMENT, False, "", 0)]


async def test_the_owner_never_signs(client, script_of, working, keep_history):
    script = script_of(reserve=7, finish=as_asked)
    async with working(script):
        handle = await started(client, "never-signed")
        ended = await handle.result()
        await keep_history(client, "withdrawal-never-signed", handle.id)
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "owner_never_signed")
    assert closings(script) == [Closing(PAYMENT, False, "", 0)]


async def test_the_chain_refuses(client, script_of, working, keep_history):
    script = script_of(reserve=7, build_message=FIRST, pay=REFUSED, finish=as_asked)
    async with working(script):
        handle = await started(client, "refused-by-chain")
        await sign(handle)
        ended = await handle.result()
        await keep_history(client, "withdrawal-refused-by-chain", handle.id)
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "WithdrawalOrder")
    assert closings(script) == [Closing(PAYMENT, False, "", 150)]


async def test_what_may_still_land_is_waited_for_outside_of_the_step(environment, client, script_of, working):
    """Each look is a step of its own: between them nobody's payment waits for a place."""
    waiting, given_back = Closed(Ending.WAITING), Closed(Ending.RELEASED)
    finish = [waiting, waiting, given_back]
    script = script_of(reserve=7, build_message=FIRST, pay=REFUSED, finish=finish)
    async with working(script):
        handle = await started(client, "waits-to-expire")
        await sign(handle)
        began = await environment.get_current_time()
        ended = await handle.result()
        assert await environment.get_current_time() - began >= 2 * BETWEEN_ASKING
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "WithdrawalOrder")
    assert closings(script) == [Closing(PAYMENT, False, "", 150)] * 3


async def test_a_stall_of_days_does_not_use_up_the_history(environment, client, script_of, working):
    """Pauses of 5, 10, ... 320 and then 600 seconds: a day is some 150 looks, not 17,000."""
    waiting = Closed(Ending.WAITING)
    script = script_of(
        reserve=7, build_message=FIRST, pay=REFUSED, finish=[waiting] * 10 + [Closed(Ending.RELEASED)]
    )
    async with working(script):
        handle = await started(client, "stalls")
        await sign(handle)
        while (await handle.query(WithdrawalWorkflow.state)).trouble != MAY_STILL_LAND:
            await asyncio.sleep(0.02)
        began = await environment.get_current_time()
        ended = await handle.result()
        assert await environment.get_current_time() - began >= timedelta(seconds=2_400)
    assert (ended.status, ended.trouble) == (WithdrawalStatus.RELEASED, "")
    assert len(closings(script)) == 11


async def test_the_engine_refuses(client, script_of, working, keep_history):
    refusal = ApplicationError("too large", type="withdrawal_too_large", non_retryable=True)
    script = script_of(reserve=refusal)
    async with working(script):
        handle = await started(client, "refused-by-engine")
        ended = await handle.result()
        await keep_history(client, "withdrawal-refused-by-engine", handle.id)
    assert (ended.status, ended.code, ended.withdrawal) == (
        WithdrawalStatus.REFUSED,
        "withdrawal_too_large",
        0,
    )
    assert script.names() == ["reserve"]


async def test_it_comes_too_late_and_is_signed_again(environment, client, script_of, working, keep_history):
    script = script_of(reserve=7, build_message=[FIRST, SECOND], pay=[EXPIRED, PAID], finish=as_asked)
    async with working(script):
        handle = await started(client, "signed-twice")
        await sign(handle)
        while (await handle.query(WithdrawalWorkflow.state)).code != "transaction_expired":
            pass
        # The second message is built only when the first is no longer fresh: time has to pass.
        await environment.sleep(20)
        await sign(handle)
        ended = await handle.result()
        await keep_history(client, "withdrawal-signed-twice", handle.id)
    assert ended.status == WithdrawalStatus.PAID
    assert [arguments[1] for name, arguments in script.calls if name == "pay"] == [FIRST, SECOND]
    assert closings(script) == [Closing(PAYMENT, True, "signature", 150)]


async def test_it_comes_too_late_and_is_not_signed_again(client, script_of, working, keep_history):
    script = script_of(reserve=7, build_message=FIRST, pay=EXPIRED, finish=as_asked)
    async with working(script):
        handle = await started(client, "expired")
        await sign(handle)
        ended = await handle.result()
        await keep_history(client, "withdrawal-expired", handle.id)
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "owner_never_signed")
    assert closings(script) == [Closing(PAYMENT, False, "", 150)]


async def test_whoever_the_operator_kept_waiting_is_not_told_that_it_did_not_sign(client, script_of, working):
    short = PaymentOutcome(PaymentStatus.EXPIRED, "", OPERATOR_SHORT, "no SOL")
    async with working(script_of(reserve=7, build_message=FIRST, pay=short, finish=as_asked)):
        handle = await started(client, "short-of-sol")
        await sign(handle)
        ended = await handle.result()
    assert (ended.status, ended.code) == (WithdrawalStatus.RELEASED, "operator_short_of_sol")


async def test_nobody_but_the_owner_signs_and_nothing_but_what_was_handed_out(client, script_of, working):
    script = script_of(reserve=7, build_message=FIRST, pay=PAID, finish=as_asked)
    async with working(script):
        handle = await started(client, "forged")
        message = await handle.execute_update(WithdrawalWorkflow.message_to_sign)
        stranger = Keypair().sign_message(base64.b64decode(message.message))
        for signature in (str(stranger), str(OWNER.sign_message(b"second")), "nonsense", ""):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update(WithdrawalWorkflow.signed, signature)
            assert refused.value.cause.type == "bad_signature"
        await sign(handle)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await sign(handle)
        assert (await handle.result()).status == WithdrawalStatus.PAID
    assert script.names().count("pay") == 1


async def test_what_the_chain_turns_out_to_have_paid_is_paid(client, script_of, working, keep_history):
    script = script_of(reserve=7, build_message=FIRST, pay=EXPIRED, finish=Closed(Ending.PAID, "landed"))
    async with working(script):
        handle = await started(client, "landed-after-all")
        await sign(handle)
        ended = await handle.result()
        await keep_history(client, "withdrawal-landed-after-all", handle.id)
    assert (ended.status, ended.signature, ended.code) == (WithdrawalStatus.PAID, "landed", "")


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Decision(paid=True, signature="found"), WithdrawalStatus.PAID),
        (Decision(paid=False), WithdrawalStatus.RELEASED),
    ],
)
async def test_what_the_chain_does_not_tell_a_person_decides(
    environment, client, script_of, working, keep_history, decision, status
):
    undecided = [Closed(Ending.UNDECIDED), as_asked]
    script = script_of(reserve=7, build_message=FIRST, pay=EXPIRED, finish=undecided)
    async with working(script):
        handle = await started(client, f"undecided-{status}")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(WithdrawalWorkflow.decide, decision)
        assert refused.value.cause.type == "decided"
        await sign(handle)
        while (await handle.query(WithdrawalWorkflow.state)).code != "transaction_expired":
            pass
        await environment.sleep(OWNER_PATIENCE)
        while "withdrawal_undecided" not in (await handle.query(WithdrawalWorkflow.state)).trouble:
            await asyncio.sleep(0.05)
        assert "undecided" in await (await handle.describe()).memo()
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(WithdrawalWorkflow.decide, Decision(paid=True))
        assert refused.value.cause.type == "bad_value"
        await handle.execute_update(WithdrawalWorkflow.decide, decision)
        ended = await handle.result()
        await keep_history(client, f"withdrawal-undecided-{status}", handle.id)
    assert (ended.status, ended.signature, ended.trouble) == (status, decision.signature, "")
    assert [one.decided for one in closings(script)] == [False, True]
