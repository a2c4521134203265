"""Builds the real adapters from settings; the only place besides `worker` that meets every floor."""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.deposits import DepositActivities
from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.reconciliation import ReconciliationActivities
from activities.schedules import ScheduleActivities
from activities.settlement import SettlementActivities
from activities.slots import SlotActivities
from activities.withdrawals import WithdrawalActivities
from api.collaborators import EscrowInfo
from api.history import History
from api.server import Given, Server
from api.sessions import Sessions
from api.withdrawals import TemporalWithdrawals
from chain.escrow import EscrowClient
from chain.keys import Signer
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from core.market import DEFAULT_MARKETS, Market
from core.quantities import USDC_UNIT
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import Settlement
from matcher import commands as c
from matcher.engine import Engine
from matcher.tail import Tail
from oracles.generator import SOURCE, prices, to_ticks
from settings import Settings

PRICE_EVERY_S: Final = 0.5
PROJECT_EVERY_S: Final = 0.05
_log = structlog.get_logger("wiring")


def secret(path: Path) -> str:
    """The secret in a file of one's own, made when there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().strip()


def operator_token(settings: Settings) -> str:
    return settings.operator_token or secret(settings.perpdex_data / "keys" / "operator.token")


def rpc_url(settings: Settings) -> str:
    return settings.solana_rpc_url or f"http://127.0.0.1:{settings.rpc_port}"


def database_url(settings: Settings) -> str:
    """The configured database, or the one the supervisor started and wrote down."""
    return settings.database_url or (settings.perpdex_data / "postgres.url").read_text().strip()


async def temporal_client(settings: Settings, runtime: Runtime | None = None) -> Client:
    """A client of the configured Temporal, or of the one that the supervisor started.

    TEMPORAL_API_KEY, TEMPORAL_TLS and the like mean what they mean to every Temporal tool.
    """
    connect = ClientConfig.load_client_connect_config()
    connect["target_host"] = settings.temporal_address or f"127.0.0.1:{settings.temporal_port}"
    connect["namespace"] = settings.temporal_namespace
    return await Client.connect(**connect, data_converter=pydantic_data_converter, runtime=runtime)


def metrics_runtime(settings: Settings) -> Runtime | None:
    """The worker's own metrics for Prometheus, where an address is set."""
    address = settings.worker_metrics_address
    if not address:
        return None
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))


def engine_door(settings: Settings) -> EngineDoor:
    return EngineDoor(settings.api_url, operator_token(settings))


def operator_key(settings: Settings) -> Signer:
    return Signer.load_or_create(settings.operator_key_path)


def escrow_client(settings: Settings) -> EscrowClient:
    """The escrow whose admin is the operator's key."""
    operator = operator_key(settings)
    program = Pubkey.from_string(settings.escrow_program) if settings.escrow_program else PROGRAM_ID
    mint = Pubkey.from_string(settings.escrow_mint) if settings.escrow_mint else USDC_MINT
    return EscrowClient(AsyncClient(rpc_url(settings), timeout=10), program, operator.pubkey, mint)


@dataclass(frozen=True)
class Steps:
    """The worker's activities, over the real engine, ledger and chain."""

    settlement: SettlementActivities
    reconciliation: ReconciliationActivities
    deposits: DepositActivities
    slots: SlotActivities
    withdrawals: WithdrawalActivities
    schedules: ScheduleActivities


@asynccontextmanager
async def worker_steps(settings: Settings, client: Client) -> AsyncIterator[Steps]:
    """Build the activities; what they hold is closed at the end."""
    door, operator, escrow = engine_door(settings), operator_key(settings), escrow_client(settings)
    pool = open_pool(database_url(settings), size=10)
    ledger, queries = Settlement(pool), Queries(pool)
    lander = Lander(ledger, escrow, settings.priority_fee)
    try:
        yield Steps(
            settlement=SettlementActivities(door, ledger, queries, escrow, lander, operator),
            reconciliation=ReconciliationActivities(door, ledger, escrow),
            deposits=DepositActivities(door, escrow),
            slots=SlotActivities(door, escrow, lander, operator),
            withdrawals=WithdrawalActivities(door, ledger, queries, escrow, lander, operator),
            schedules=ScheduleActivities(client, settings.task_queue),
        )
    finally:
        await door.close()
        await escrow.client.close()
        await pool.dispose()


def tick_micro_usd(market: Market) -> int:
    """A market's tick in micro-USD: exact, because `core.market.market` refuses anything else."""
    return int(Decimal(market.tick) / USDC_UNIT)


async def feed_prices(engine: Engine, seed: int) -> None:
    """Give the engine an index price for every market, twice a second."""
    walks = {market.id: prices(seed, market.symbol) for market in DEFAULT_MARKETS}
    while True:
        for market in DEFAULT_MARKETS:
            price = to_ticks(next(walks[market.id]), tick_micro_usd(market))
            engine.submit(c.UpdateIndex(market.id, price, 0, time.time_ns(), SOURCE), None)
        await asyncio.sleep(PRICE_EVERY_S)


async def serve_api(settings: Settings) -> None:
    """Run engine, HTTP and WebSocket until told to stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    escrow = escrow_client(settings)
    journal = settings.perpdex_data / "journal"
    engine = Engine(journal, time.time_ns)
    for market in DEFAULT_MARKETS:
        await engine.ask(c.ListMarket(market))
    feeding = asyncio.get_running_loop().create_task(feed_prices(engine, settings.price_seed))
    pool = open_pool(database_url(settings))
    server = await Server.start(
        Given(
            engine=engine,
            journal=journal,
            sessions=Sessions(
                secret(settings.perpdex_data / "keys" / "sessions.secret").encode(),
                operator_token(settings),
                time.time_ns,
            ),
            reads=History(Queries(pool)),
            withdrawals=TemporalWithdrawals(await temporal_client(settings), settings.task_queue),
            escrow=EscrowInfo(
                program=str(escrow.addresses.program_id),
                escrow=str(escrow.addresses.escrow),
                vault=str(escrow.addresses.vault),
                mint=str(escrow.mint),
                rpc_url=rpc_url(settings),
            ),
            http_port=settings.api_port,
            websocket_port=settings.websocket_port,
        )
    )
    _log.info("serving", http=server.http_url, websocket=server.websocket_url)
    try:
        await server.serve_until(stopped)
    finally:
        feeding.cancel()
        engine.close()
        await pool.dispose()


async def serve_projector(settings: Settings) -> None:
    """Follow the journal into PostgreSQL until told to stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    projector = Projector(database_url(settings))
    journal = settings.perpdex_data / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    tail = Tail(journal, projector.sequence)
    _log.info("projecting", after=projector.sequence)
    while not stopped.is_set():
        records = tail.read()
        if records:
            projector.apply(records)
        else:
            await asyncio.sleep(PROJECT_EVERY_S)
    tail.close()
    projector.close()
