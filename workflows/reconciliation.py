"""The comparison on a Schedule of its own: it looks also while nothing is settled, and while settlement is held.

Nobody pauses that Schedule, so it is also what keeps alive what runs for ever.
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import Reconciliation, ReconciliationActivities
    from activities.schedules import SETTLEMENT_ID, ScheduleActivities
    from workflows.settlement import SettlementWorkflow
    from workflows.steps import must_happen

RECONCILIATION_SCHEDULE: Final = "reconciliation"
RECONCILIATION_EVERY: Final = timedelta(minutes=1)
BETWEEN_BATCHES: Final = 0
"""Number under which the ledger keeps a comparison that belongs to no batch."""


@workflow.defn
class ReconciliationWorkflow:
    """Compare chain, engine and ledger; a difference stops settlement at once, its Schedule with it. Before that, see to it that there
    are still those who watch: with `exits` ended nothing would be kept free of what the chain is about to pay."""

    @workflow.run
    async def run(self) -> Reconciliation:
        if workflow.patched("keeps-entities"):
            await must_happen(ScheduleActivities.keep_entities, on_trouble=workflow.set_current_details)
        result = await must_happen(
            ReconciliationActivities.reconcile, BETWEEN_BATCHES, on_trouble=workflow.set_current_details
        )
        workflow.set_current_details(result.sentence())
        if not result.balanced:
            await must_happen(
                ScheduleActivities.pause_settlement,
                result.sentence(),
                on_trouble=workflow.set_current_details,
            )
            settlement = workflow.get_external_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
            await settlement.signal(SettlementWorkflow.halt, result.sentence())
        return result
