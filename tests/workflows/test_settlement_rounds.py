"""The settlement entity: what a round does, and that a difference halts it."""

import asyncio
import functools
from dataclasses import replace
from typing import Final

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import Reconciliation
from activities.schedules import RESUME_SIGNAL, ScheduleActivities, signal_settlement
from activities.settlement import BatchPlan, BatchReceipt, Work
from workflows.settlement import SettlementTickWorkflow, SettlementWorkflow
from workflows.settling import settle_now

AGREES = Reconciliation(0, "", 10, 10, 0, 10, 0, 10, 0, 0)
"""Ten micro-USDC came in, and vault, pages and engine have them."""
SHORT = replace(AGREES, why="vault_short", vault=9)
NOTHING = Work(unfinished=0, due=0)
SIGNALED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
Handle = WorkflowHandle[SettlementWorkflow, None]


def answers(*works: Work, reconcile: object = AGREES) -> dict[str, object]:
    """For a script in which every batch is empty: final with its cut."""
    return {
        "next_batch": [*works, NOTHING],
        "cut_batch": lambda batch: BatchPlan(batch, [], [], deltas=0, fills=0, root="ab"),
        "publish_status": None,
        "batch_receipt": lambda batch: BatchReceipt(batch, 0, 0, 0, 0, "ab", ""),
        "reconcile": reconcile,
        "pause_settlement": None,
    }


async def started(client: Client) -> Handle:
    return await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue="test")


async def test_what_is_unfinished_comes_before_what_is_due(client, script_of, working):
    script = script_of(**answers(Work(unfinished=3, due=0), Work(unfinished=0, due=4)))
    async with working(script):
        handle = await started(client)
        receipt = await settle_now(handle)
        state = await handle.query(SettlementWorkflow.state)
    assert receipt is not None
    assert (receipt.batch, state.settled, state.trouble) == (4, 2, "")
    assert [arguments[0] for name, arguments in script.calls if name == "cut_batch"] == [3, 4]
    steps = [(name, *arguments) for name, arguments in script.calls if name in ("cut_batch", "reconcile")]
    assert steps[:4] == [("cut_batch", 3), ("reconcile", 3), ("cut_batch", 4), ("reconcile", 4)]


async def test_nothing_is_cut_when_the_sides_differ_after_what_was_unfinished(client, script_of, working):
    script = script_of(**answers(Work(unfinished=3, due=0), Work(unfinished=0, due=4), reconcile=SHORT))
    async with working(script):
        handle = await started(client)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await settle_now(handle)
        assert SHORT.sentence() in str(refused.value.cause)
    assert [arguments[0] for name, arguments in script.calls if name == "cut_batch"] == [3]
    assert ("pause_settlement", (SHORT.sentence(),)) in script.calls


async def test_a_difference_halts_until_somebody_resumes(client, script_of, working, keep_history):
    script = script_of(
        **answers(Work(unfinished=0, due=1), NOTHING, Work(unfinished=0, due=2), reconcile=[SHORT, AGREES])
    )
    async with working(script):
        handle = await started(client)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await settle_now(handle)
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == "settlement_halted"
        await handle.signal(SettlementWorkflow.cut_now)
        state = await handle.query(SettlementWorkflow.state)
        assert state.halted == SHORT.sentence()
        assert await (await handle.describe()).memo_value("halted") == SHORT.sentence()
        assert ("pause_settlement", (SHORT.sentence(),)) in script.calls
        assert script.names().count("reconcile") == 1
        await handle.signal(SettlementWorkflow.resume)
        await settle_now(handle)
        assert (await handle.query(SettlementWorkflow.state)).halted == ""
        assert "halted" not in await (await handle.describe()).memo()
        await keep_history(client, "settlement-halted", handle.id)


async def test_what_the_engine_s_journal_holds_halts_a_workflow_that_knows_nothing_of_it(
    client, script_of, working
):
    """It was ended and started anew, or an operator held settlement: all is compared, and nothing is cut."""
    held = Work(unfinished=0, due=0, held="slot 0/2 differs")
    script = script_of(**answers(held))
    script.answers["next_batch"] = [held]
    async with working(script):
        handle = await started(client)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await settle_now(handle)
        assert "slot 0/2 differs" in str(refused.value.cause)
        assert set(script.names()) == {"next_batch", "reconcile"}
        script.answers["next_batch"] = [NOTHING]
        await handle.signal(SettlementWorkflow.resume)
        await settle_now(handle)
        assert (await handle.query(SettlementWorkflow.state)).halted == ""


async def test_what_is_held_between_the_look_and_the_cut_is_not_waited_for_in_a_batch(
    client, script_of, working
):
    held = Work(unfinished=0, due=0, held="a look at the books")
    script = script_of(**answers(Work(unfinished=0, due=1), held, Work(unfinished=0, due=1)))
    whole = script.answers["cut_batch"]
    script.answers["cut_batch"] = [BatchPlan(1, [], [], deltas=0, fills=0, root="", held=True)]
    async with working(script):
        handle = await started(client)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await settle_now(handle)
        assert "a look at the books" in str(refused.value.cause)
        assert set(script.names()) == {"next_batch", "cut_batch", "reconcile"}
        script.answers["cut_batch"] = whole
        await handle.signal(SettlementWorkflow.resume)
        receipt = await settle_now(handle)
    assert receipt is not None
    assert receipt.batch == 1


@pytest.mark.parametrize("then", [AGREES, SHORT], ids=["and all agree", "and they differ"])
async def test_a_resume_during_a_comparison_has_it_made_again(client, script_of, working, then):
    async def resumed_meanwhile() -> Reconciliation:
        await client.get_workflow_handle("settlement").signal(SettlementWorkflow.resume)
        return SHORT

    script = script_of(**answers(NOTHING, reconcile=[lambda batch: resumed_meanwhile(), then]))
    async with working(script):
        handle = await started(client)
        if then is AGREES:
            await settle_now(handle)
        else:
            with pytest.raises(WorkflowUpdateFailedError):
                await settle_now(handle)
        state = await handle.query(SettlementWorkflow.state)
    assert script.names()[:3] == ["next_batch", "reconcile", "reconcile"]
    assert state.halted == ("" if then is AGREES else SHORT.sentence())
    assert ("pause_settlement" in script.names()) == (then is SHORT)


async def test_a_resume_outlives_a_round_that_found_settlement_held(client, script_of, working):
    script = script_of(**answers())

    async def resumed_meanwhile() -> Reconciliation:
        script.answers["next_batch"] = [NOTHING]
        await client.get_workflow_handle("settlement").signal(SettlementWorkflow.resume)
        return AGREES

    script.answers["next_batch"] = [Work(unfinished=0, due=0, held="slot 0/2 differs")]
    script.answers["reconcile"] = [lambda batch: resumed_meanwhile(), AGREES]
    async with working(script):
        handle = await started(client)
        await settle_now(handle)
        assert (await handle.query(SettlementWorkflow.state)).halted == ""
    # Whoever asks late in the second round has a third one.
    assert script.names()[:4] == ["next_batch", "reconcile"] * 2


async def signals(handle: Handle) -> int:
    """How many it has been sent: a run takes ten thousand."""
    return len([one async for one in handle.fetch_history_events() if one.event_type == SIGNALED])


async def test_a_busy_settlement_is_woken_once(client, script_of, working):
    """However long a step of its round takes: ticks of a day would use up what a run takes, and leave no signal for an operator."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def stuck() -> Reconciliation:
        begun.set()
        await go_on.wait()
        return AGREES

    tick = functools.partial(ActivityEnvironment().run, ScheduleActivities(client, "test").wake_settlement)
    script = script_of(**answers(reconcile=[lambda batch: stuck(), AGREES]))
    async with working(script):
        await tick()
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, "settlement")
        await begun.wait()
        for _ in range(10):
            await tick()
        assert await signals(handle) == 2
        go_on.set()
        await settle_now(handle)
        state = await handle.query(SettlementWorkflow.state)
        assert (state.due, state.started >= 2) == (False, True)
        await tick()
        assert await signals(handle) == 3


async def test_an_operator_s_word_starts_a_settlement_that_does_not_run(client, script_of, working):
    async with working(script_of(**answers())):
        await (await started(client)).terminate()
        await signal_settlement(client, "test", RESUME_SIGNAL)
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, "settlement")
        assert (await settle_now(handle), await signals(handle)) == (None, 1)


async def test_the_tick_wakes_the_settlement(client, script_of, working, keep_history):
    script = script_of(wake_settlement=[ApplicationError("temporal is busy"), None])
    async with working(script):
        await client.execute_workflow(SettlementTickWorkflow.run, id="tick", task_queue="test")
        await keep_history(client, "tick", "tick")
    assert script.names() == ["wake_settlement", "wake_settlement"]
