"""`perpdex settlement abort`, `carry` and `retry` as a person runs them: whose the open batch is decides what may be done."""

import asyncio
import functools
import os
import sysconfig
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine_door import DOOR
from activities.settlement import PageOf, SealOf
from chain.rpc import FINALIZED
from fault_proxy import Fault, FaultProxy
from workflows.batch import BatchWorkflow
from workflows.steps import BATCH

TOTALS = (
    *("seq", "balances_total", "deposits", "withdrawals", "reserved", "vault_expected", "claimed"),
    *("exits", "loss_limits", "astray", "exit_delay"),
)
Command = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def settlement(
    world: Any, steps: Any, command: Command, door_server: Any, postgres_url: str, tmp_path: Path
) -> Command:
    """`perpdex settlement`, with an engine that holds settlement."""
    key = tmp_path / "operator.json"
    key.touch(mode=0o600)
    key.write_text(world.operator._sign.__self__.to_json())
    door_server.answers[f"{DOOR}/state"] = {
        **dict.fromkeys(TOTALS, 0),
        "conserved": True,
        "positions_zero_sum": True,
        "settlement_held": "a theft",
    }
    settings = {
        "ESCROW_ADMIN": str(world.operator.pubkey),
        "OPERATOR_KEY": f"file:{key}",
        "API_URL": door_server.url,
        "OPERATOR_TOKEN": "t" * 32,
        "DATABASE_URL": postgres_url,
    }
    return functools.partial(command, "settlement", **settings)


async def refused(doing: Awaitable[tuple[int, str]], why: str) -> None:
    code, said = await doing
    assert (code, f"nothing was done: {why}" in said) == (1, True), said


async def test_whose_the_open_batch_is_decides_whether_it_is_given_up_or_finished(
    world: Any, steps: Any, ledger: Any, settlement: Command
) -> None:
    run, build, operator = ActivityEnvironment().run, world.escrow, world.operator
    root = (await ledger.load_batch(1)).root
    for what in ("abort", "carry"):
        await refused(settlement(what), "no batch is open on chain")

    # Ours, until somebody settles other deltas in it.
    await world.land(build.build_open_batch(operator, 1, root, 1), FINALIZED)
    for what in ("abort", "carry"):
        await refused(settlement(what), "batch 1 is this ledger's own: the workflow finishes it")
    await world.land(build.build_settle_page(operator, 1, 0, [(0, 1), (2, -3)]), FINALIZED)
    await refused(settlement("abort"), "batch 1 has 1 pages settled: it can only be finished")
    async with FaultProxy(world.node.url) as proxy:
        proxy.fail("getTransaction", Fault.FORGE)
        await refused(settlement("carry", SOLANA_RPC_URL=proxy.url), "it is not known whose batch 1 is")
        assert proxy.waiting() == 0
    code, said = await settlement("carry")
    assert (code, "batch 1 is sealed; 2 micro-USDC are left for the next" in said) == (0, True), said

    # Ours again under the next number, and then somebody's copy of its root.
    assert await run(steps.open_batch, 1) == 2
    await run(steps.settle_page, PageOf(1, 2, 0))
    while (await build.view.page(0, FINALIZED)).last_batch < 2:
        await asyncio.sleep(0.02)
    await refused(settlement("abort"), "batch 2 has 1 pages settled")
    await refused(settlement("carry"), "batch 2 is this ledger's own")
    await run(steps.seal_batch, SealOf(1, 2))
    await world.land(build.build_open_batch(operator, 3, root, 1), FINALIZED)
    code, said = await settlement("abort")
    assert (code, "batch 3 is given up" in said) == (0, True), said
    snapshot = await build.view.snapshot(FINALIZED)
    assert [slot.balance for slot in snapshot.pages[0].slots] == [1_001, 0, 3_997]
    assert (snapshot.state.sealed_batch, snapshot.state.clearing) == (2, 2)


async def test_a_batch_whose_number_is_taken_begins_anew_when_all_that_retry_asks_for_holds(
    world: Any, steps: Any, settlement: Command, door_server: Any
) -> None:
    retry = functools.partial(settlement, "retry", "--why", "he has its number")
    methods = (
        *(steps.cut_batch, steps.open_batch, steps.settle_page, steps.seal_batch),
        *(steps.publish_status, steps.batch_receipt),
    )
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=os.path.join(sysconfig.get_path("scripts"), "temporal"),
            data_converter=pydantic_data_converter,
            search_attributes=[BATCH],
            dev_server_log_level="error",
        ) as environment,
        Worker(environment.client, task_queue="test", workflows=[BatchWorkflow], activities=methods),
        # A step that was refused is tried again after up to a minute.
        asyncio.timeout(240),
    ):
        here = {"TEMPORAL_ADDRESS": environment.client.service_client.config.target_host}
        await refused(retry(**here), "the workflow batch-1 does not say what it does")
        # While its status cannot be published, it stands between the opening and the first page.
        door_server.refusal = (503, {"error": {"code": "overloaded", "message": "busy", "retryable": True}})
        handle = await environment.client.start_workflow(
            BatchWorkflow.run, 1, id="batch-1", task_queue="test"
        )
        while not (await handle.query(BatchWorkflow.progress)).chain_batch:
            await asyncio.sleep(0.05)
        await refused(retry(**here), "batch 1 is open on chain: finish it first")
        await world.land(world.escrow.build_settle_page(world.operator, 1, 0, [(0, 1), (2, -1)]))
        await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
        await refused(retry(**here), "the workflow batch-1 does not say other_batch_taken")
        door_server.refusal = None
        while "other_batch_taken" not in (await handle.query(BatchWorkflow.progress)).text():
            await asyncio.sleep(0.05)
        told = door_server.answers[f"{DOOR}/state"]
        door_server.answers[f"{DOOR}/state"] = {**told, "settlement_held": ""}
        await refused(retry(**here), "settlement goes on: hold it first")
        door_server.answers[f"{DOOR}/state"] = told
        assert "RetryBatch" not in [one["type"] for one in door_server.commands]

        code, said = await retry(**here)
        assert (code, "batch 1 is taken up anew" in said) == (0, True), said
        (noted,) = (one for one in door_server.commands if one["type"] == "RetryBatch")
        assert (noted["batch"], noted["why"]) == (1, "he has its number")
        assert (await handle.result()).pages == 1
        await refused(retry(**here), "no batch is under way")
    snapshot = await world.escrow.view.snapshot(FINALIZED)
    assert [slot.balance for slot in snapshot.pages[0].slots] == [1_001, 0, 3_999]
    assert snapshot.state.sealed_batch == 2
