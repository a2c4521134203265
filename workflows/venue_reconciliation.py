"""Every minute: vaults' positions as their fills have them, and as the venues do."""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.venue_reconciliation import VenueComparison, VenueReconciliationActivities
    from workflows.steps import HEARTBEAT

VENUE_RECONCILIATION_SCHEDULE: Final = "venue-reconciliation"
"""Id of the Schedule that has positions at venues compared."""
VENUE_RECONCILIATION_EVERY: Final = timedelta(minutes=1)


@workflow.defn
class VenueReconciliationWorkflow:
    """One comparison. What was found stands in its result and, in words, where the Temporal UI shows it."""

    @workflow.run
    async def run(self) -> VenueComparison:
        found = await workflow.execute_activity_method(
            VenueReconciliationActivities.reconcile_venues,
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        if found.differences or found.silent:
            workflow.set_current_details("\n".join([*found.differences, *found.silent]))
        return found
