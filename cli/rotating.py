"""`perpdex escrow rotation`: replace the operator's key, by a workflow that says what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final

import typer
from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.reconciliation import as_reason
from cli.on_chain import Refused, client_of, public_key, run, state_of
from settings import Settings
from wiring import temporal_client
from workflows.rotation import ROTATION_ID, RotationState, RotationWorkflow

rotation = typer.Typer(no_args_is_help=True, help="Replace the operator's key.")
ANSWER_S: Final = 60.0
"""A worker that is there answers sooner, also about a key that is slow to sign."""
LOOK: Final = timedelta(seconds=10)
Handle = WorkflowHandle[RotationWorkflow, RotationState]
Ask = Callable[[Handle], Awaitable[RotationState]]


@rotation.command()
def start(
    key: Annotated[str, typer.Argument(help="public key of the new operator, in base58")],
    why: Annotated[str, typer.Option(help="the reason, for the audit trail")],
) -> None:
    """Begin: the admin's proposal is waited for, and its timelock. Trading goes on throughout."""
    run(_start(Settings(), str(public_key("the operator", key)), why))


@rotation.command()
def status() -> None:
    """What it waits for, and what a person has to do."""
    _ask(lambda handle: handle.query(RotationWorkflow.state, rpc_timeout=LOOK))


@rotation.command("key-changed")
def key_changed() -> None:
    """Every worker runs with the new key: have it tried, and settlement go on when it fits."""
    state = _ask(lambda handle: handle.execute_update(RotationWorkflow.key_changed))
    if state.key is not None and state.key.lacks():
        raise typer.Exit(1)


@rotation.command()
def abandon() -> None:
    """Go on with the old key. What the admin proposed stays proposed until it is cancelled."""
    _ask(lambda handle: handle.execute_update(RotationWorkflow.abandon))


async def _start(settings: Settings, key: str, why: str) -> None:
    if not settings.escrow_admin:
        raise Refused(
            "set ESCROW_ADMIN on every machine first: without it the new key would lead to another escrow"
        )
    async with client_of(settings) as client:
        state = await state_of(client)
    if key in (str(state.operator), str(state.guardian)):
        whose = "operator" if key == str(state.operator) else "guardian"
        raise Refused(f"{key} is the {whose} already")
    temporal = await temporal_client(settings)
    begun = RotationState(key, as_reason(f"the operator's key becomes {key}: {why}"))
    try:
        await temporal.start_workflow(
            RotationWorkflow.run,
            begun,
            id=ROTATION_ID,
            task_queue=settings.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"The operator's key becomes {key}",
        )
    except WorkflowAlreadyStartedError:
        raise Refused("a rotation is under way: `perpdex escrow rotation status`") from None
    print(begun.text())


def _ask(ask: Ask) -> RotationState:
    async def asked(settings: Settings) -> RotationState:
        temporal = await temporal_client(settings)
        handle: Handle = temporal.get_workflow_handle_for(RotationWorkflow.run, ROTATION_ID)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await ask(handle)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise Refused(str(cause.cause if isinstance(cause, ActivityError) else cause)) from None
        except (RPCError, RPCTimeoutOrCancelledError, WorkflowQueryFailedError, TimeoutError):
            raise Refused(await _unanswered(handle)) from None

    state: RotationState = run(asked(Settings()))
    print(state.text())
    return state


async def _unanswered(handle: Handle) -> str:
    """What Temporal itself knows when no worker answers, which it does not while they are exchanged."""
    try:
        found = await handle.describe(rpc_timeout=LOOK)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return "no rotation was ever started"
        return f"Temporal does not tell: {error.message}"
    if found.status != WorkflowExecutionStatus.RUNNING:
        return "no rotation is under way"
    to_do = await found.memo_value("to_do", default="")
    return (
        f"no worker answers; to do: {to_do}" if to_do else "no worker answers: start it, and run this again"
    )
