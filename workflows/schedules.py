"""What must exist in Temporal before anything runs: search attributes, the entity workflows, the settlement Schedule."""

from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import WorkflowIDConflictPolicy

from activities.schedules import SETTLEMENT_ID, SETTLEMENT_SCHEDULE
from workflows.deposits import DEPOSITS_ID, DepositsWorkflow
from workflows.settlement import SettlementTickWorkflow, SettlementWorkflow
from workflows.steps import AGENT, BATCH

TICK_LIFE: Final = timedelta(minutes=5)
CATCHUP: Final = timedelta(seconds=60)
"""After an outage one wake-up is enough, for a cut covers everything since the last one: older missed ones are not made up."""


async def ensure_search_attributes(client: Client) -> None:
    """Register `Batch` and `Agent` as keywords where they are missing."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = [key.name for key in (BATCH, AGENT) if key.name not in listed.custom_attributes]
    if missing:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
            )
        )


async def ensure_entities(client: Client, task_queue: str) -> None:
    """Start the workflows that run for ever, where they are not running."""
    for workflow, id, summary in (
        (SettlementWorkflow.run, SETTLEMENT_ID, "Settles fills on Solana, batch by batch"),
        (DepositsWorkflow.run, DEPOSITS_ID, "Opens slots and credits finalized deposits"),
    ):
        await client.start_workflow(
            workflow,
            id=id,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=summary,
            memo={"entity": id},
        )


async def ensure_schedules(client: Client, task_queue: str, interval: timedelta) -> None:
    """Create the settlement Schedule, or give it this interval; a pause that someone set stays.

    Overlap SKIP: a wake-up while one is still being delivered adds nothing.
    """
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            SettlementTickWorkflow.run,
            id="settlement-tick",
            task_queue=task_queue,
            execution_timeout=TICK_LIFE,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCHUP),
    )

    def updated(current: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = current.description.schedule.state
        return ScheduleUpdate(wanted)

    try:
        await client.create_schedule(SETTLEMENT_SCHEDULE, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(SETTLEMENT_SCHEDULE).update(updated)
