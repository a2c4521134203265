"""Another key for the operator: what is done in which order, what a person is asked for, and what keeps settlement held."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.reconciliation import Reconciliation
from activities.rotation import ExecuteOf, KeySeen, ProposalSeen
from workflows.rotation import RotationState, RotationWorkflow, Stage

OLD, NEW = "old key", "new key"
WHY = "the operator's key becomes new key: its year is over"
AGREES = Reconciliation(0, "", 10, 10, 0, 10, 0, 10, 0, 0)
"""Ten micro-USDC came in, and vault, pages and engine have them."""
SHORT = replace(AGREES, why="vault_short", vault=9)
WEEK = 7 * 86_400
NONE = ProposalSeen(OLD)
ANNOUNCED = ProposalSeen(OLD, 3, ready_at=WEEK, ready_in=WEEK)
RIPE = ProposalSeen(OLD, 3, ready_at=WEEK)
DONE = ProposalSeen(NEW)
FITS = KeySeen(NEW, NEW, 10**9, 10**8)
Handle = WorkflowHandle[RotationWorkflow, RotationState]


def answers(**given: object) -> dict[str, object]:
    """For a script in which nothing stands in the way."""
    return {
        "look_for_proposal": RIPE,
        "hold_for_rotation": None,
        "batch_under_way": "",
        "execute_proposal": True,
        "check_key": FITS,
        "settlement_paused": "",
        "reconcile": AGREES,
        "release_after_rotation": "",
        "resume_settlement": None,
        **given,
    }


async def started(client: Client) -> Handle:
    return await client.start_workflow(
        RotationWorkflow.run, RotationState(NEW, WHY), id="operator-rotation", task_queue="test"
    )


async def until(handle: Handle, true: Callable[[RotationState], bool]) -> RotationState:
    while not true(state := await handle.query(RotationWorkflow.state)):
        await asyncio.sleep(0.02)
    return state


async def at(handle: Handle, stage: Stage) -> RotationState:
    return await until(handle, lambda state: state.stage == stage)


async def test_settlement_is_held_once_the_timelock_is_over_and_goes_on_with_the_new_key(
    client, environment, script_of, working, keep_history
):
    script = script_of(
        **answers(
            look_for_proposal=[NONE, ANNOUNCED, RIPE],
            batch_under_way=["batch 7 is submitted", ""],
            check_key=[KeySeen(OLD, NEW, 10**9, 10**8), KeySeen(NEW, NEW, 0, 10**8), FITS],
        )
    )
    async with working(script):
        handle = await started(client)
        assert "perpdex escrow propose operator new key" in (await at(handle, Stage.PROPOSAL)).text()
        await environment.sleep(61)
        await at(handle, Stage.TIMELOCK)
        assert script.names() == ["look_for_proposal", "look_for_proposal"]
        await environment.sleep(3_700)
        await environment.sleep(10)
        state = await at(handle, Stage.KEY)
        assert script.names()[3:] == [
            "hold_for_rotation",
            "batch_under_way",
            "batch_under_way",
            "execute_proposal",
        ]
        assert script.calls[-1][1] == (ExecuteOf(NEW, 3),)
        memo = await (await handle.describe()).memo()
        assert memo["to_do"] == state.waits_for()
        assert "set OPERATOR_KEY to where new key is kept" in memo["to_do"]
        for lacking in ("the worker signs with old key", "send it SOL"):
            state = await handle.execute_update(RotationWorkflow.key_changed)
            assert (state.stage, lacking in state.text()) == (Stage.KEY, True)
        await handle.execute_update(RotationWorkflow.key_changed)
        ended = await handle.result()
        await keep_history(client, "rotation", handle.id)
    assert (ended.stage, ended.stays_held, ended.trouble) == (Stage.DONE, "", "")
    assert script.names()[-4:] == [
        "settlement_paused",
        "reconcile",
        "release_after_rotation",
        "resume_settlement",
    ]


async def test_it_is_abandoned_while_the_batch_is_being_finished_and_not_after(
    client, script_of, working, keep_history
):
    script = script_of(**answers(batch_under_way="batch 7 is submitted"))
    async with working(script):
        handle = await started(client)
        await at(handle, Stage.BATCH)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(RotationWorkflow.key_changed)
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == "not_waiting"
        await handle.execute_update(RotationWorkflow.abandon)
        ended = await handle.result()
        await keep_history(client, "rotation-abandoned", handle.id)
    assert (ended.stage, script.names().count("execute_proposal")) == (Stage.ABANDONED, 0)
    assert script.names()[-2:] == ["release_after_rotation", "resume_settlement"]

    script = script_of(**answers())
    async with working(script):
        handle = await started(client)
        await at(handle, Stage.KEY)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(RotationWorkflow.abandon)
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == "too_late"


@pytest.mark.parametrize("during", ["look_for_proposal", "hold_for_rotation"])
async def test_who_abandons_what_somebody_has_executed_is_too_late(client, script_of, working, during):
    """The workers have the old key: settlement must not go on before one was seen with the new one."""
    script = script_of(**answers(look_for_proposal=DONE))
    before = script.answers[during]

    async def abandoned_meanwhile() -> object:
        await client.get_workflow_handle("operator-rotation").execute_update(RotationWorkflow.abandon)
        return before[0]

    script.answers[during] = [lambda *_: abandoned_meanwhile()]
    async with working(script):
        handle = await started(client)
        await at(handle, Stage.KEY)
        assert "resume_settlement" not in script.names()
        await handle.execute_update(RotationWorkflow.key_changed)
        ended = await handle.result()
    assert (ended.stage, script.names()[-1]) == (Stage.DONE, "resume_settlement")


async def test_who_abandons_between_two_looks_at_the_batch_is_too_late_as_well(client, script_of, working):
    """Somebody executed it since the look before: settlement must not go on with the old key."""
    script = script_of(**answers(look_for_proposal=[RIPE, DONE], batch_under_way="batch 7 is submitted"))
    async with working(script):
        handle = await started(client)
        await until(handle, lambda state: bool(state.batch))
        await handle.execute_update(RotationWorkflow.abandon)
        await at(handle, Stage.KEY)
        assert "resume_settlement" not in script.names()
        await handle.execute_update(RotationWorkflow.key_changed)
        ended = await handle.result()
    assert (ended.stage, script.names()[-1]) == (Stage.DONE, "resume_settlement")


async def test_a_proposal_that_is_gone_lets_settlement_go_on_until_the_next(
    client, script_of, working, keep_history
):
    script = script_of(**answers(look_for_proposal=[RIPE, NONE], execute_proposal=False))
    async with working(script):
        handle = await started(client)
        await until(handle, lambda _: script.names().count("look_for_proposal") == 2)
        assert script.names()[-3:-1] == ["release_after_rotation", "resume_settlement"]
        assert (await at(handle, Stage.PROPOSAL)).stays_held == ""
        await handle.execute_update(RotationWorkflow.abandon)
        await handle.result()
        await keep_history(client, "rotation-proposal-gone", handle.id)


async def test_a_proposal_that_changes_more_is_a_persons_to_execute(client, environment, script_of, working):
    more = ProposalSeen(OLD, 3, ready_at=WEEK, also=["guardian", "limits"])
    script = script_of(**answers(look_for_proposal=[more, DONE]))
    async with working(script):
        handle = await started(client)
        state = await until(handle, lambda state: bool(state.proposal))
        assert "the proposal changes guardian, limits too" in state.text()
        await environment.sleep(61)
        await at(handle, Stage.KEY)
    # The old key, which somebody else replaced, can neither execute anything nor finish a batch.
    assert script.names() == ["look_for_proposal", "look_for_proposal", "hold_for_rotation"]


@pytest.mark.parametrize(
    ("stopped", "why", "released"),
    [
        ({"reconcile": SHORT}, SHORT.sentence(), False),
        ({"settlement_paused": "slot 0/2 differs"}, "slot 0/2 differs", False),
        ({"release_after_rotation": "held by ada"}, "held by ada", True),
    ],
    ids=["the sides differ", "the Schedule is paused", "held before"],
)
async def test_what_stopped_settlement_besides_keeps_it_held(
    client, script_of, working, stopped, why, released
):
    script = script_of(**answers(look_for_proposal=DONE, **stopped))
    async with working(script):
        handle = await started(client)
        await at(handle, Stage.KEY)
        await handle.execute_update(RotationWorkflow.key_changed)
        ended = await handle.result()
    assert (ended.stage, ended.stays_held) == (Stage.DONE, why)
    assert why in ended.text()
    assert ("release_after_rotation" in script.names(), "resume_settlement" in script.names()) == (
        released,
        False,
    )
