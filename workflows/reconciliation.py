"""The comparison on a Schedule of its own: it looks also while nothing is settled, and while settlement is held.

Nobody pauses that Schedule, so it is also what keeps alive what runs for ever.
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import Reconciliation, ReconciliationActivities
    from activities.schedules import SETTLEMENT_ID, ScheduleActivities
    from workflows.settlement import SettlementWorkflow
    from workflows.steps import HEARTBEAT, must_happen, reason

RECONCILIATION_SCHEDULE: Final = "reconciliation"
RECONCILIATION_EVERY: Final = timedelta(minutes=1)
KEEP_ENTITIES_TRIES: Final = 3
"""The comparison never waits longer than for these: the next one tries again."""
KEEP_ENTITIES_WITHIN: Final = timedelta(seconds=20)
BETWEEN_BATCHES: Final = 0
"""Number under which the ledger keeps a comparison that belongs to no batch."""


@workflow.defn
class ReconciliationWorkflow:
    """Compare chain, engine and ledger; a difference stops settlement at once, its Schedule with it. Before that, see to it that there
    are still those who watch: with `exits` ended nothing would be kept free of what the chain is about to pay."""

    @workflow.run
    async def run(self) -> Reconciliation:
        ended = ""
        if workflow.patched("keeps-entities-or-goes-on"):
            ended = await _keep_entities()
        elif workflow.patched("keeps-entities"):
            await must_happen(ScheduleActivities.keep_entities, on_trouble=workflow.set_current_details)
        result = await must_happen(
            ReconciliationActivities.reconcile, BETWEEN_BATCHES, on_trouble=workflow.set_current_details
        )
        workflow.set_current_details("\n".join(filter(None, (result.sentence(), ended))))
        if not result.balanced:
            await must_happen(
                ScheduleActivities.pause_settlement,
                result.sentence(),
                on_trouble=workflow.set_current_details,
            )
            settlement = workflow.get_external_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
            await settlement.signal(SettlementWorkflow.halt, result.sentence())
        return result


async def _keep_entities() -> str:
    """Empty, or a sentence on why what runs for ever could not be seen to."""
    try:
        await workflow.execute_activity_method(
            ScheduleActivities.keep_entities,
            start_to_close_timeout=KEEP_ENTITIES_WITHIN,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=KEEP_ENTITIES_TRIES),
        )
    except ActivityError as error:
        told = f"{error.activity_type}: {reason(error)}"
        workflow.set_current_details(told)
        return told
    return ""
