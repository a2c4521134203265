"""What must exist in Temporal before anything runs, besides the workflows that run for ever: search attributes and Schedules."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

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

from activities.schedules import SETTLEMENT_SCHEDULE
from workflows.funding import HOUR, FundingHourWorkflow
from workflows.nav import NAV_CATCHUP, NAV_EVERY, NAV_SCHEDULE, NavWorkflow
from workflows.reconciliation import (
    RECONCILIATION_EVERY,
    RECONCILIATION_SCHEDULE,
    ReconciliationWorkflow,
)
from workflows.settlement import SettlementTickWorkflow
from workflows.steps import AGENT, BATCH, MARKET, ORDERS, SYMBOL, VAULT, VENUE
from workflows.sweep import SWEEP_EVERY, SWEEP_SCHEDULE, SweepWorkflow
from workflows.venue_reconciliation import (
    VENUE_RECONCILIATION_EVERY,
    VENUE_RECONCILIATION_SCHEDULE,
    VenueReconciliationWorkflow,
)

KEYWORDS: Final = (BATCH, AGENT, MARKET, VAULT, VENUE, SYMBOL)
TICK_LIFE: Final = timedelta(minutes=5)
CATCHUP: Final = timedelta(seconds=60)
"""After an outage one wake-up is enough, for a cut covers everything since the last one: older missed ones are not made up."""
FUNDING_SCHEDULE: Final = "funding-hourly"
"""Id of the Schedule that has every hour's funding paid."""
FUNDING_CATCHUP: Final = timedelta(days=7)
"""Whatever outage ends before then leaves out no hour that the exchange has not paid by itself meanwhile."""


async def ensure_search_attributes(client: Client) -> None:
    """Register what workflows are found by, as keywords, where it is missing."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = [key.name for key in KEYWORDS if key.name not in listed.custom_attributes]
    if missing:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
            )
        )


async def ensure_schedules(
    client: Client, task_queue: str, interval: timedelta, nav_every: timedelta = NAV_EVERY
) -> None:
    """Create the Schedules, or bring them up to date; a pause that someone set stays.

    Settlement is woken every `interval`; overlap SKIP: a wake-up while one is still being delivered adds nothing. Funding is due at
    every full hour; overlap BUFFER_ALL: no hour is left out, and they start in order. What was left of
    liquidations is swept up every minute; overlap SKIP: a sweep goes on until nothing is left. Chain, engine and ledger are compared
    every minute besides, and so are positions at venues with the venues; overlap SKIP: one comparison at a time. Vaults are
    valued every `nav_every`, at full hours when that is one; overlap BUFFER_ALL: in order, while prices are still about
    that instant's.
    """
    waking = partial(_waking, task_queue)
    for schedule, wanted in (
        (
            SETTLEMENT_SCHEDULE,
            waking(SettlementTickWorkflow.run, "settlement-tick", interval, life=TICK_LIFE),
        ),
        (
            FUNDING_SCHEDULE,
            waking(
                FundingHourWorkflow.run,
                "funding-hour",
                HOUR,
                overlap=ScheduleOverlapPolicy.BUFFER_ALL,
                catchup=FUNDING_CATCHUP,
            ),
        ),
        (SWEEP_SCHEDULE, waking(SweepWorkflow.run, "liquidation-sweep", SWEEP_EVERY)),
        (RECONCILIATION_SCHEDULE, waking(ReconciliationWorkflow.run, "reconciliation", RECONCILIATION_EVERY)),
        (
            VENUE_RECONCILIATION_SCHEDULE,
            _waking(
                task_queue + ORDERS,
                VenueReconciliationWorkflow.run,
                "venue-reconciliation",
                VENUE_RECONCILIATION_EVERY,
            ),
        ),
        (
            NAV_SCHEDULE,
            _waking(
                task_queue + ORDERS,
                NavWorkflow.run,
                "nav-snapshot",
                nav_every,
                overlap=ScheduleOverlapPolicy.BUFFER_ALL,
                catchup=NAV_CATCHUP,
            ),
        ),
    ):
        await _ensure(client, schedule, wanted)


def _waking(
    task_queue: str,
    run: Callable[..., Awaitable[Any]],
    id: str,
    every: timedelta,
    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP,
    catchup: timedelta = CATCHUP,
    life: timedelta | None = None,
) -> Schedule:
    """A Schedule that starts `run`, which takes no arguments, as workflow `id`."""
    return Schedule(
        action=ScheduleActionStartWorkflow(run, id=id, task_queue=task_queue, execution_timeout=life),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=overlap, catchup_window=catchup),
    )


async def _ensure(client: Client, id: str, wanted: Schedule) -> None:
    def updated(current: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = current.description.schedule.state
        return ScheduleUpdate(wanted)

    try:
        await client.create_schedule(id, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(id).update(updated)
