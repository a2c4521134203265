"""Settlement goes on whatever withdrawals wait for, and none is left behind on another queue."""

import asyncio
import base64

from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeats
from activities.settlement import BatchPlan, BatchReceipt
from activities.withdrawals import Closed, Ending, MessageToSign, PaymentOutcome, PaymentStatus
from workflows.batch import BatchWorkflow
from workflows.withdrawal_state import WithdrawalRequest, WithdrawalStatus
from workflows.withdrawals import WithdrawalWorkflow

OWNER = Keypair.from_seed(bytes(32))
PAYMENTS = 101
"""More than the steps that a worker runs at one time unless told otherwise."""
RECEIPT = BatchReceipt(1, 1, 2, 1, 5_000, "root", "seal")
BATCH = {
    "cut_batch": BatchPlan(1, [0], [], 2, 1, "root"),
    "open_batch": 1,
    "settle_page": None,
    "seal_batch": None,
    "publish_status": None,
    "batch_receipt": RECEIPT,
}
MESSAGE = MessageToSign(base64.b64encode(b"message").decode(), 150)


def request(number: int) -> WithdrawalRequest:
    return WithdrawalRequest(16, str(OWNER.pubkey()), 5_000_000, f"key{number}")


async def test_reservations_that_wait_for_the_engine_hold_up_no_batch(client, script_of, real_worker):
    answered = asyncio.Event()

    async def reserve(*_: object) -> int:
        await answered.wait()
        raise ApplicationError("too large", type="withdrawal_too_large", non_retryable=True)

    script = script_of(reserve=reserve, **BATCH)
    async with asyncio.timeout(60), real_worker(script):
        handles = [
            await client.start_workflow(
                WithdrawalWorkflow.run, request(number), id=f"w{number}", task_queue="test-withdrawals"
            )
            for number in range(PAYMENTS)
        ]
        while script.names().count("reserve") < PAYMENTS - 1:
            await asyncio.sleep(0.05)
        batch = await client.start_workflow(BatchWorkflow.run, 1, id="batch-1", task_queue="test")
        assert await batch.result() == RECEIPT
        answered.set()
        assert (await handles[-1].result()).code == "withdrawal_too_large"


async def test_a_withdrawal_on_the_workers_own_queue_is_paid(client, script_of, real_worker):
    paid = PaymentOutcome(PaymentStatus.PAID, "signature")
    script = script_of(reserve=7, build_message=MESSAGE, pay=paid, finish=Closed(Ending.PAID, "signature"))
    async with asyncio.timeout(60), real_worker(script):
        handle = await client.start_workflow(
            WithdrawalWorkflow.run, request(1), id="withdrawal-1", task_queue="test"
        )
        await handle.execute_update(WithdrawalWorkflow.message_to_sign)
        await handle.execute_update(WithdrawalWorkflow.signed, str(OWNER.sign_message(b"message")))
        assert (await handle.result()).status == WithdrawalStatus.PAID


async def test_payments_that_wait_for_the_chain_hold_up_no_batch(client, script_of, real_worker):
    final, paying = asyncio.Event(), 0

    async def pay(*_: object) -> PaymentOutcome:
        nonlocal paying
        paying += 1
        async with heartbeats():
            await final.wait()
        return PaymentOutcome(PaymentStatus.PAID, "signature")

    script = script_of(
        reserve=7,
        build_message=MESSAGE,
        pay=pay,
        finish=Closed(Ending.PAID, "signature"),
        **BATCH,
    )
    signature = str(OWNER.sign_message(b"message"))

    async def withdraw(number: int) -> None:
        handle = await client.start_workflow(
            WithdrawalWorkflow.run,
            request(number),
            id=f"withdrawal-{number}",
            task_queue="test-withdrawals",
        )
        await handle.execute_update(WithdrawalWorkflow.message_to_sign)
        await handle.execute_update(WithdrawalWorkflow.signed, signature)

    async with asyncio.timeout(60), real_worker(script):
        # By tens: each waits for answers of the server.
        for first in range(0, PAYMENTS, 10):
            await asyncio.gather(*map(withdraw, range(first, min(first + 10, PAYMENTS))))
        batch = await client.start_workflow(BatchWorkflow.run, 1, id="batch-1", task_queue="test")
        receipt = await batch.result()
        in_flight = paying
        final.set()
        # A worker that stops while all its steps wait would be told so by each of them.
        while paying < PAYMENTS:
            await asyncio.sleep(0.05)
    assert receipt == RECEIPT
    assert 0 < in_flight < PAYMENTS
