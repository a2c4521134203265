"""Every minute: vaults' positions as their fills have them, and as the venues do."""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.open_orders import OpenOrderActivities
    from activities.venue_reconciliation import VenueComparison, VenueReconciliationActivities
    from workflows.steps import HEARTBEAT, reason

VENUE_RECONCILIATION_SCHEDULE: Final = "venue-reconciliation"
"""Id of the Schedule that has positions at venues compared."""
VENUE_RECONCILIATION_EVERY: Final = timedelta(minutes=1)


@workflow.defn
class VenueReconciliationWorkflow:
    """One comparison, after orders were taken up that nobody works on. What was found stands in its result and, in words, where the
    Temporal UI shows it."""

    @workflow.run
    async def run(self) -> VenueComparison:
        trouble = []
        if workflow.patched("takes-up-orders"):
            try:
                await workflow.execute_activity_method(
                    OpenOrderActivities.take_up_orders,
                    start_to_close_timeout=timedelta(minutes=1),
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            except ActivityError as error:
                # The next minute tries again; positions are compared meanwhile.
                trouble.append(f"orders are not taken up: {reason(error)}")
        found = await workflow.execute_activity_method(
            VenueReconciliationActivities.reconcile_venues,
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        if said := [*trouble, *found.differences, *found.silent]:
            workflow.set_current_details("\n".join(said))
        return found
