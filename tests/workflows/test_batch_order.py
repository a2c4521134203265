"""The batch workflow: order of its steps, net debits first, and that trouble is reported and outlived."""

import asyncio

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.settlement import BatchPlan, BatchReceipt, PageOf, StatusOf
from core.batches import BatchStatus
from workflows.batch import WINDOW, BatchWorkflow
from workflows.steps import FIRST_TRIES

PLAN = BatchPlan(batch=7, debit_pages=[2, 0], credit_pages=[1], deltas=9, fills=4, root="ab")
RECEIPT = BatchReceipt(batch=7, pages=3, deltas=9, fills=4, lamports=25_000, root="ab", seal_signature="seal")
DONE = {
    "open_batch": 5,
    "settle_page": None,
    "seal_batch": None,
    "publish_status": None,
    "batch_receipt": RECEIPT,
}


async def settled(client: Client) -> BatchReceipt:
    return await client.execute_workflow(BatchWorkflow.run, 7, id="batch-7", task_queue="test")


async def test_a_batch_goes_through_its_steps_in_order(client, script_of, working):
    script = script_of(cut_batch=PLAN, **DONE)
    async with working(script):
        assert await settled(client) == RECEIPT
    assert script.names() == [
        "cut_batch",
        "open_batch",
        "publish_status",
        "settle_page",
        "settle_page",
        "settle_page",
        "publish_status",
        "seal_batch",
        "publish_status",
        "batch_receipt",
    ]
    assert sorted(call[0].page for name, call in script.calls if name == "settle_page") == [0, 1, 2]
    assert [call[0].status for name, call in script.calls if name == "publish_status"] == [
        BatchStatus.SUBMITTED,
        BatchStatus.CONFIRMED,
        BatchStatus.FINAL,
    ]


async def test_credits_wait_for_every_debit_and_the_window_is_kept(client, script_of, working):
    debits, credits = list(range(40)), list(range(40, 60))
    flying, most, landed = set(), 0, []

    async def settle(of: PageOf) -> None:
        nonlocal most
        if of.page in credits:
            assert set(debits) <= set(landed)
        flying.add(of.page)
        most = max(most, len(flying))
        await asyncio.sleep(0.01)
        flying.discard(of.page)
        landed.append(of.page)

    plan = BatchPlan(batch=7, debit_pages=debits, credit_pages=credits, deltas=99, fills=1, root="ab")
    script = script_of(cut_batch=plan, **{**DONE, "settle_page": settle})
    async with working(script):
        await settled(client)
    assert sorted(landed) == debits + credits
    assert most <= WINDOW


async def test_a_batch_without_pages_is_final_without_a_transaction(client, script_of, working):
    plan = BatchPlan(batch=7, debit_pages=[], credit_pages=[], deltas=0, fills=0, root="ab")
    script = script_of(cut_batch=plan, **DONE)
    async with working(script):
        await settled(client)
    assert script.names() == ["cut_batch", "publish_status", "batch_receipt"]


@pytest.mark.parametrize("failure", [ApplicationError("lost", type="rpc_unreachable"), RuntimeError("bug")])
async def test_failures_that_may_pass_are_tried_again_at_once(client, script_of, working, failure):
    script = script_of(cut_batch=PLAN, **{**DONE, "seal_batch": [failure, failure, None]})
    async with working(script):
        assert await settled(client) == RECEIPT
    assert script.names().count("seal_batch") == 3
    assert StatusOf(7, BatchStatus.FINAL) in [call[0] for _, call in script.calls]


async def test_a_cut_waits_for_an_index_that_is_believed_and_says_so(client, script_of, working):
    refused = ApplicationError("The index of BTC-PERP is disputed", type="index_unavailable")
    attempts, seen = 0, []

    async def cut(batch: int) -> BatchPlan:
        nonlocal attempts
        attempts += 1
        if attempts <= FIRST_TRIES:
            raise refused
        handle = client.get_workflow_handle_for(BatchWorkflow.run, "batch-7")
        seen.append((await handle.query(BatchWorkflow.progress)).text())
        return PLAN

    async with working(script_of(cut_batch=cut, **DONE)):
        assert await settled(client) == RECEIPT
    assert len(seen) == 1
    assert "index_unavailable: The index of BTC-PERP is disputed" in seen[0]


async def test_a_batch_that_is_taken_up_anew_goes_through_all_its_steps_under_another_number(
    environment, client, script_of, working
):
    taken = ApplicationError("somebody else made it", type="other_batch_taken")
    tries = 0

    async def settle(of: PageOf) -> None:
        nonlocal tries
        if (of.chain_batch, of.page) == (5, 1):
            tries += 1
            if tries > FIRST_TRIES:
                await client.get_workflow_handle("batch-7").signal(BatchWorkflow.take_up_anew)
            raise taken

    script = script_of(cut_batch=PLAN, **{**DONE, "open_batch": [5, 6], "settle_page": settle})
    async with working(script):
        await client.start_workflow(BatchWorkflow.run, 7, id="batch-7", task_queue="test")
        while "batch_receipt" not in script.names():
            await environment.sleep(1)
        assert await client.get_workflow_handle("batch-7", result_type=BatchReceipt).result() == RECEIPT
    assert script.names().count("cut_batch") == script.names().count("open_batch") == 2
    landed = [call[0] for name, call in script.calls if name == "settle_page" and call[0].chain_batch == 6]
    assert sorted(of.page for of in landed) == [0, 1, 2]
    assert next(call[0].chain_batch for name, call in script.calls if name == "seal_batch") == 6
