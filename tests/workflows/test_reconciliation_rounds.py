"""The comparison on its own Schedule: silent when all agree, and what it finds stops settlement."""

from dataclasses import replace

from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import Reconciliation
from activities.schedules import ENTITIES, EXITS_ID, ScheduleActivities
from activities.settlement import Work
from core.reconciliation import Difference
from workflows.deposits import DepositsWorkflow
from workflows.exits import ExitsWorkflow
from workflows.reconciliation import KEEP_ENTITIES_TRIES, ReconciliationWorkflow
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

AGREES = Reconciliation(0, "", 10, 10, 0, 10, 0, 10, 0, 0)
"""Ten micro-USDC came in, and vault, pages and engine have them."""
DIFFERENT = Difference("balance_differs", 16, "owner", 0, 2, 7, 10, 10)
DIFFERS = replace(AGREES, why="accounts_differ", different=1, differences=[DIFFERENT])
STEPS = {"next_batch": Work(unfinished=0, due=0), "pause_settlement": None, "keep_entities": None}


async def compare(client):
    return await client.execute_workflow(
        ReconciliationWorkflow.run, id="reconciliation", task_queue="test", result_type=Reconciliation
    )


async def test_nothing_is_said_while_all_agree(client, script_of, working):
    script = script_of(**STEPS, reconcile=AGREES)
    async with working(script):
        assert await compare(client) == AGREES
    assert script.names() == ["keep_entities", "reconcile"]


async def test_the_comparison_comes_also_where_nothing_can_be_started(client, script_of, working):
    down = ApplicationError("no shard", type="unavailable")
    script = script_of(**{**STEPS, "keep_entities": down}, reconcile=AGREES)
    async with working(script):
        assert await compare(client) == AGREES
        told = await client.get_workflow_handle("reconciliation").query("__temporal_workflow_metadata")
    assert script.names() == ["keep_entities"] * KEEP_ENTITIES_TRIES + ["reconcile"]
    assert "keep_entities: unavailable: no shard" in str(told)


async def test_what_runs_for_ever_and_was_ended_is_started_again(client):
    """And what runs is left alone: its history does not grow by it. A cluster that takes its time is no worker that is gone."""
    steps, beats, beating = ScheduleActivities(client, "test"), [], ActivityEnvironment()
    beating.on_heartbeat = lambda *_: beats.append("alive")
    await beating.run(steps.keep_entities)
    assert beats
    began = [await client.get_workflow_handle(id).describe() for _, id, _ in ENTITIES]
    assert [one.workflow_type for one in began] == [
        kind.__name__ for kind in (SettlementWorkflow, DepositsWorkflow, ExitsWorkflow)
    ]
    await client.get_workflow_handle(EXITS_ID).terminate()
    await ActivityEnvironment().run(steps.keep_entities)
    now = [await client.get_workflow_handle(id).describe() for _, id, _ in ENTITIES]
    assert {one.status for one in now} == {WorkflowExecutionStatus.RUNNING}
    assert [one.run_id for one in now][:2] == [one.run_id for one in began][:2]
    assert [one.history_length for one in now] == [one.history_length for one in began]


async def test_a_difference_names_the_account_and_stops_settlement(client, script_of, working, keep_history):
    script = script_of(**STEPS, reconcile=AGREES)
    async with working(script):
        settlement = await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue="test")
        await settle_now(settlement)
        script.answers["reconcile"] = [DIFFERS]
        assert await compare(client) == DIFFERS
        assert (await settlement.query(SettlementWorkflow.state)).halted == DIFFERS.sentence()
        assert ("pause_settlement", (DIFFERS.sentence(),)) in script.calls
        await keep_history(client, "reconciliation", "reconciliation")
    assert "account 16 in slot 0/2 (balance_differs): chain 7, engine 10, ledger 10" in DIFFERS.sentence()
