"""What workflows ask of Temporal itself: start what runs for ever, wake the settlement entity, pause its Schedule."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeats import heartbeats

SETTLEMENT_SCHEDULE: Final = "settlement-interval"
"""Id of the Schedule that wakes the settlement."""
SETTLEMENT_WORKFLOW: Final = "SettlementWorkflow"
SETTLEMENT_ID: Final = "settlement"
"""Workflow id of the settlement entity: there is one."""
DEPOSITS_ID: Final = "deposits"
"""Workflow id of the watch of deposits and claims: there is one."""
EXITS_ID: Final = "exits"
"""Workflow id of the watch of what owners decide on chain: there is one."""
ENTITIES: Final = (
    (SETTLEMENT_WORKFLOW, SETTLEMENT_ID, "Settles fills on Solana, batch by batch"),
    ("DepositsWorkflow", DEPOSITS_ID, "Opens slots and credits finalized deposits"),
    ("ExitsWorkflow", EXITS_ID, "Keeps free what owners ask to take out alone"),
)
"""Type, workflow id and summary of what runs for ever on the worker's own queue."""
WAKE_SIGNAL: Final = "cut_now"
RESUME_SIGNAL: Final = "resume"


async def ensure_entities(client: Client, task_queue: str) -> None:
    """Start the workflows that run for ever, where they are not running."""
    for workflow, id, summary in ENTITIES:
        await ensure_entity(client, task_queue, workflow, id, summary)


async def ensure_entity(
    client: Client,
    task_queue: str,
    workflow: str | Callable[..., Awaitable[None]],
    id: str,
    summary: str,
    *args: Any,
) -> None:
    """Start a workflow that runs for ever, with `args`, where it is not running."""
    await client.start_workflow(
        workflow,
        args=args,
        id=id,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=summary,
        memo={"entity": id},
    )


async def signal_settlement(client: Client, task_queue: str, name: str) -> None:
    """Signal the settlement entity; start it when it is not there, for what it has to do is in the ledger, not in its history."""
    await client.start_workflow(
        SETTLEMENT_WORKFLOW,
        id=SETTLEMENT_ID,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=name,
        static_summary=ENTITIES[0][2],
        memo={"entity": SETTLEMENT_ID},
    )


class ScheduleActivities:
    """Over the worker's own client and task queue."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    @activity.defn
    async def keep_entities(self) -> None:
        """Start again what runs for ever and was ended: nothing else would notice that nobody watches any more."""
        async with heartbeats():
            await ensure_entities(self._client, self._task_queue)

    @activity.defn
    async def wake_settlement(self) -> None:
        """Have the settlement entity look for something to settle, unless it is going to anyhow; start it when it is not there.

        A run takes ten thousand signals in all and an operator's must be among them, while a batch may be stuck for days: so one that
        has been woken, and has not begun to look, is not woken again.
        """
        async with heartbeats():
            if not await self._is_woken():
                await signal_settlement(self._client, self._task_queue, WAKE_SIGNAL)

    @activity.defn
    async def resume_settlement(self) -> None:
        """Have the settlement entity compare, and go on when the engine's journal holds nothing."""
        await signal_settlement(self._client, self._task_queue, RESUME_SIGNAL)

    @activity.defn
    async def settlement_paused(self) -> str:
        """The note with which somebody, or a difference, paused the Schedule; empty while it runs."""
        description = await self._client.get_schedule_handle(SETTLEMENT_SCHEDULE).describe()
        state = description.schedule.state
        return (state.note or "the Schedule is paused") if state.paused else ""

    @activity.defn
    async def pause_settlement(self, why: str) -> None:
        """Pause the Schedule with a note that says why."""
        await self._client.get_schedule_handle(SETTLEMENT_SCHEDULE).pause(note=why)

    async def _is_woken(self) -> bool:
        """Whether the settlement entity runs and says that another look is due. One that cannot say anything could do nothing with a
        signal either: the error is for whoever tries again."""
        handle = self._client.get_workflow_handle(SETTLEMENT_ID)
        try:
            status = (await handle.describe()).status
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        if status != WorkflowExecutionStatus.RUNNING:
            return False
        state: dict[str, Any] = await handle.query("state")
        return bool(state["due"])
