"""The Temporal worker: builds and registers activities and workflows, nothing else. Run it as often as the load asks for."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

from activities.deposits import DepositActivities
from activities.exits import ExitActivities
from activities.funding import FundingActivities
from activities.landing import Lander
from activities.open_withdrawals import OpenWithdrawalActivities
from activities.reconciliation import ReconciliationActivities
from activities.rotation import RotationActivities
from activities.schedules import ScheduleActivities, ensure_entities, ensure_entity
from activities.settlement import SettlementActivities
from activities.slots import SlotActivities
from activities.sweep import SweepActivities
from activities.withdrawals import WithdrawalActivities
from chain.keys import forbid_core_dumps
from chain.signers.interface import Signer
from endings import told, told_to_stop
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.settlement import Settlement
from places import database_url
from settings import Settings
from wiring import engine_door, escrow_client, must_be_our_cluster, operator_signer, temporal_client
from workflows.batch import BatchWorkflow
from workflows.deposits import DepositsWorkflow
from workflows.exits import ExitsWorkflow
from workflows.funding import FundingHourWorkflow, FundingWorkflow
from workflows.nav import NavWorkflow
from workflows.order import OrderWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.rotation import RotationWorkflow
from workflows.schedules import ensure_schedules, ensure_search_attributes
from workflows.settlement import SettlementTickWorkflow, SettlementWorkflow
from workflows.steps import FOLLOWING, GOLD, ORDERS, PAYMENTS, WITHDRAWALS
from workflows.sweep import SweepWorkflow
from workflows.venue_reconciliation import VenueReconciliationWorkflow
from workflows.withdrawals import WithdrawalWorkflow

if TYPE_CHECKING:
    from activities.gold_settlement import GoldSettlementActivities
    from ordering import OrderSteps

WORKFLOWS: Final = [
    BatchWorkflow,
    DepositsWorkflow,
    ExitsWorkflow,
    FundingHourWorkflow,
    FundingWorkflow,
    ReconciliationWorkflow,
    RotationWorkflow,
    SettlementTickWorkflow,
    SettlementWorkflow,
    SweepWorkflow,
    WithdrawalWorkflow,
]
STICKY: Final = timedelta(seconds=2)
"""How long a workflow waits for a worker that is gone before another one takes it up."""
GRACE: Final = timedelta(seconds=5)
BEAT: Final = timedelta(seconds=1)
"""Heartbeats go out as they are made: a busy machine must not look like a dead one."""


PAYMENTS_AT_ONCE: Final = 50
"""Each takes its place until it is final, about 13 seconds on the public chain."""
ORDERS_AT_ONCE: Final = 100
FOLLOWED_AT_ONCE: Final = 1_000
"""Orders that wait at venues; beyond so many they are followed in turn, each for two minutes."""


@dataclass(frozen=True)
class Steps:
    """The worker's activities, over the real engine, ledger and chain."""

    settlement: SettlementActivities
    reconciliation: ReconciliationActivities
    deposits: DepositActivities
    exits: ExitActivities
    slots: SlotActivities
    withdrawals: WithdrawalActivities
    open_withdrawals: OpenWithdrawalActivities
    funding: FundingActivities
    sweep: SweepActivities
    rotation: RotationActivities
    schedules: ScheduleActivities


@asynccontextmanager
async def worker_steps(settings: Settings, client: Client) -> AsyncIterator[Steps]:
    """Build the activities; what they hold is closed at the end."""
    async with operator_signer(settings) as operator, _steps(settings, client, operator) as steps:
        yield steps


@asynccontextmanager
async def _steps(settings: Settings, client: Client, operator: Signer) -> AsyncIterator[Steps]:
    door, escrow = engine_door(settings), await escrow_client(settings)
    pool = open_pool(database_url(settings), size=10)
    ledger, queries = Settlement(pool), Queries(pool)
    lander = Lander(ledger, escrow, settings.priority_fee)
    try:
        yield Steps(
            settlement=SettlementActivities(door, ledger, queries, escrow, lander, operator),
            reconciliation=ReconciliationActivities(door, ledger, queries, escrow),
            deposits=DepositActivities(door, escrow),
            exits=ExitActivities(door, escrow, ledger),
            slots=SlotActivities(door, escrow, lander, operator, settings.withdrawal_minimum),
            withdrawals=WithdrawalActivities(
                door, ledger, queries, escrow, lander, operator, settings.withdrawal_minimum
            ),
            open_withdrawals=OpenWithdrawalActivities(door, client, settings.task_queue + WITHDRAWALS),
            funding=FundingActivities(door),
            sweep=SweepActivities(door),
            rotation=RotationActivities(door, ledger, escrow, lander, operator),
            schedules=ScheduleActivities(client, settings.task_queue),
        )
    finally:
        await door.close()
        await escrow.client.close()
        await pool.dispose()


@asynccontextmanager
async def working(client: Client, task_queue: str, steps: Steps) -> AsyncIterator[None]:
    """Poll three task queues. Withdrawals and their payments have their own: agents cause them, payments take long, and settlement
    must never wait for either. Those that were started on the worker's own queue, or ended there, still find all of it there.
    """
    common: dict[str, Any] = {"graceful_shutdown_timeout": GRACE, "max_heartbeat_throttle_interval": BEAT}
    settling = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            steps.settlement.next_batch,
            steps.settlement.cut_batch,
            steps.settlement.open_batch,
            steps.settlement.settle_page,
            steps.settlement.seal_batch,
            steps.settlement.publish_status,
            steps.settlement.batch_receipt,
            steps.reconciliation.reconcile,
            steps.deposits.watch_deposits,
            steps.exits.watch_exits,
            steps.slots.watch_unbound,
            steps.withdrawals.reserve,
            steps.withdrawals.build_message,
            steps.open_withdrawals.take_up_withdrawals,
            steps.funding.funded_markets,
            steps.funding.missed_hours,
            steps.funding.pay_hour,
            steps.sweep.review_accounts,
            steps.sweep.sell_inventory,
            steps.rotation.look_for_proposal,
            steps.rotation.hold_for_rotation,
            steps.rotation.batch_under_way,
            steps.rotation.execute_proposal,
            steps.rotation.check_key,
            steps.rotation.release_after_rotation,
            steps.schedules.keep_entities,
            steps.schedules.wake_settlement,
            steps.schedules.resume_settlement,
            steps.schedules.settlement_paused,
            steps.schedules.pause_settlement,
        ],
        sticky_queue_schedule_to_start_timeout=STICKY,
        **common,
        # No `workflow_failure_exception_types`: a bug, or code that does not fit a running history, holds a workflow up, visibly,
        # until the code is mended. Failing it instead would leave a reservation that nobody closes.
    )
    withdrawing = Worker(
        client,
        task_queue=task_queue + WITHDRAWALS,
        workflows=[WithdrawalWorkflow],
        activities=[steps.withdrawals.reserve, steps.withdrawals.build_message],
        sticky_queue_schedule_to_start_timeout=STICKY,
        **common,
    )
    paying = Worker(
        client,
        task_queue=task_queue + PAYMENTS,
        activities=[steps.withdrawals.pay, steps.withdrawals.finish],
        max_concurrent_activities=PAYMENTS_AT_ONCE,
        **common,
    )
    async with settling, withdrawing, paying:
        yield


def metrics_runtime(settings: Settings) -> Runtime | None:
    """The worker's own metrics for Prometheus, where an address is set."""
    address = settings.worker_metrics_address
    if not address:
        return None
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))


@asynccontextmanager
async def gold_steps(settings: Settings) -> AsyncIterator["GoldSettlementActivities"]:
    """The steps of gold orders on the configured router, under the executor's key, which is made when it is missing.

    Raises `KeyFileRefused`.
    """
    # Here, because what signs for Ethereum takes most of a second to load, and few need it.
    from activities.gold_settlement import GoldSettlementActivities
    from chain.evm.gold_market import GoldMarket
    from chain.evm.key import EvmKey
    from chain.evm.node import Node
    from chain.evm.router import RouterClient
    from chain.evm.sending import Sender

    forbid_core_dumps()
    key = EvmKey.load_or_create(settings.perpdex_data / "keys" / "evm-executor.key")
    async with httpx.AsyncClient() as http:
        node = Node(http, settings.evm_rpc_url)
        sender = Sender(node, key, settings.evm_chain_id, settings.evm_fee_cap_gwei * 10**9)
        router, market = RouterClient(sender, settings.evm_router), GoldMarket(node, settings.evm_router)
        yield GoldSettlementActivities(router, market)


@asynccontextmanager
async def working_gold(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Carry out gold orders, where a router for them is set. On a queue of its own: a worker without the router could not."""
    if not settings.evm_router:
        yield
        return
    # Here, because what signs for Ethereum takes most of a second to load.
    from workflows.gold_settlement import GOLD_SETTLEMENT, GoldBook, GoldSettlementWorkflow

    queue = settings.task_queue + GOLD
    async with (
        gold_steps(settings) as steps,
        Worker(
            client,
            task_queue=queue,
            workflows=[GoldSettlementWorkflow],
            activities=[
                steps.cover_gold_orders,
                steps.end_gold_batch,
                steps.find_gold_batch,
                steps.most_gold_orders,
                steps.sign_gold_batch,
                steps.watch_gold_batch,
            ],
            sticky_queue_schedule_to_start_timeout=STICKY,
            graceful_shutdown_timeout=GRACE,
            max_heartbeat_throttle_interval=BEAT,
        ),
    ):
        summary = "Carries out gold orders of all vaults on the EVM chain, a period's in one transaction"
        await ensure_entity(client, queue, GoldSettlementWorkflow.run, GOLD_SETTLEMENT, summary, GoldBook())
        yield


@asynccontextmanager
async def working_orders(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Carry out orders at outside venues, and value what vaults hold there.

    Raises `VenueUnknown` for settings that name one that there is not.
    """
    # Here, because what reads prices takes long to load, and a start waits for everything else besides.
    from ordering import order_steps

    async with (
        order_steps(settings, client) as steps,
        carrying_out(client, settings.task_queue + ORDERS, steps),
    ):
        yield


@asynccontextmanager
async def carrying_out(
    client: Client,
    queue: str,
    steps: "OrderSteps",
    at_once: int = ORDERS_AT_ONCE,
    followed: int = FOLLOWED_AT_ONCE,
) -> AsyncIterator[None]:
    """Poll two task queues of orders, with so many steps of each at one time: venues answer late, and settlement must never wait for
    them; an order that waits at its venue is followed for as long, and no other must ever wait for that."""
    common: dict[str, Any] = {"graceful_shutdown_timeout": GRACE}
    ordering = Worker(
        client,
        task_queue=queue,
        workflows=[NavWorkflow, OrderWorkflow, VenueReconciliationWorkflow],
        activities=[
            steps.orders.place_order,
            steps.orders.resolve_order,
            steps.orders.give_up_order,
            steps.orders.cancel_order,
            # The first looks at a new order, one for whoever cancels, and what began before following had a queue of its own.
            steps.following.follow_order,
            steps.open_orders.take_up_orders,
            steps.reconciling.reconcile_venues,
            steps.collecting.collect_fills,
            steps.nav.price_legs,
            steps.nav.take_snapshots,
        ],
        max_concurrent_activities=at_once,
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_heartbeat_throttle_interval=BEAT,
        **common,
    )
    following = Worker(
        client,
        task_queue=queue + FOLLOWING,
        activities=[steps.following.follow_order],
        max_concurrent_activities=followed,
        **common,
    )
    async with ordering, following:
        yield


async def main() -> None:
    settings = Settings()
    client = await temporal_client(settings, metrics_runtime(settings))
    await must_be_our_cluster(settings, patient=True)
    stopped = told_to_stop()
    await ensure_search_attributes(client)
    async with (
        worker_steps(settings, client) as steps,
        working(client, settings.task_queue, steps),
        working_gold(client, settings),
        working_orders(client, settings),
    ):
        await ensure_entities(client, settings.task_queue)
        interval = timedelta(seconds=settings.settlement_interval_s)
        nav_every = timedelta(seconds=settings.nav_interval_s)
        await ensure_schedules(client, settings.task_queue, interval, nav_every)
        await stopped.wait()


def ended() -> int:
    """Run until told to stop, or until it is said why that cannot be; the exit status."""
    try:
        with told():
            asyncio.run(main())
    except SystemExit as refused:
        return int(refused.code or 0)
    return 0


if __name__ == "__main__":
    status = ended()
    # The runtime under the workflow sandbox sometimes crashes while the interpreter takes it down: nothing is left to do there.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
