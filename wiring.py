"""Builds the real adapters from settings; the only place besides `worker` that meets every floor."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psycopg
import structlog
from msgspec.structs import replace
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.deposits import DepositActivities
from activities.engine_door import EngineDoor
from activities.funding import FundingActivities
from activities.landing import Lander
from activities.open_withdrawals import OpenWithdrawalActivities
from activities.reconciliation import ReconciliationActivities
from activities.schedules import ScheduleActivities
from activities.settlement import SettlementActivities
from activities.slots import SlotActivities
from activities.sweep import SweepActivities
from activities.withdrawals import WithdrawalActivities
from api.collaborators import EscrowInfo
from api.history import History
from api.server import Given, Server
from api.sessions import SECRET_BYTES_MIN, Sessions
from api.withdrawals import TemporalWithdrawals
from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, Signer, create_secret
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from core.market import DEFAULT_MARKETS
from core.operator_events import EXCHANGE
from endings import NotReachable
from ledger.database import open_pool
from ledger.projector import JournalGap, Projector, ProjectorBusy
from ledger.queries import Queries
from ledger.settlement import Settlement
from matcher import commands as c
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.rejections import Rejection
from matcher.tail import Tail
from oracles.feed import PriceFeed, pick
from oracles.hermes import Hermes
from oracles.index import Routed
from oracles.judgement import judgement
from oracles.perp_mids import HyperliquidMids
from oracles.polling import Polled
from oracles.price import micro_usd
from oracles.pyth_account import PythAccounts
from oracles.signers import ROUTERS, read_hand_overs, trusted_now
from oracles.sources import Clock, Source
from oracles.vaa import SignerSet
from settings import Settings

NETWORK: Final = "operator"
"""Whose token the network's own processes use."""
PROJECT_EVERY_S: Final = 0.05
PROJECT_AGAIN_S: Final = 1.0
_log = structlog.get_logger("wiring")


def secret(path: Path) -> str:
    """The secret in a file of one's own, made when there is none. Raises `KeyFileRefused`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_secret(path, secrets.token_hex(32))
    text = path.read_text().strip()
    if not text:
        raise KeyFileRefused(f"{path} is empty: delete it, and a new secret is made")
    return text


def operator_token(settings: Settings) -> str:
    return settings.operator_token or secret(settings.perpdex_data / "keys" / "operator.token")


def operators(settings: Settings) -> dict[str, str]:
    """Tokens of the operator door by the names that the audit trail has for them: the network's own, and one for each person's file
    in keys/operators. Raises `KeyFileRefused` for what would leave open who did something."""
    tokens = {NETWORK: operator_token(settings)}
    for path in sorted((settings.perpdex_data / "keys" / "operators").glob("*.token")):
        token = path.read_text().strip()
        if path.stem in (NETWORK, EXCHANGE):
            raise KeyFileRefused(f"{path}: nobody may be called {path.stem}, which means something else")
        if len(token) < SECRET_BYTES_MIN or token in tokens.values():
            raise KeyFileRefused(
                f"{path}: a token has {SECRET_BYTES_MIN} characters at least and is one person's"
            )
        tokens[path.stem] = token
    return tokens


def rpc_url(settings: Settings) -> str:
    return settings.solana_rpc_url or f"http://127.0.0.1:{settings.rpc_port}"


def database_url(settings: Settings) -> str:
    """The configured database, or the one the supervisor started and wrote down. Raises `NotReachable` when there is neither."""
    if settings.database_url:
        return settings.database_url
    try:
        return (settings.perpdex_data / "postgres.url").read_text().strip()
    except FileNotFoundError as error:
        raise NotReachable(
            f"No database is known: set DATABASE_URL, or start everything with `perpdex up`, which writes {error.filename}"
        ) from None


async def temporal_client(
    settings: Settings, runtime: Runtime | None = None, *, lazy: bool = False
) -> Client:
    """A client of the configured Temporal, or of the one that the supervisor started; a lazy one connects at its first call.

    TEMPORAL_API_KEY, TEMPORAL_TLS and the like mean what they mean to every Temporal tool. Raises `NotReachable`.
    """
    connect = ClientConfig.load_client_connect_config()
    connect["target_host"] = settings.temporal_address or f"127.0.0.1:{settings.temporal_port}"
    connect["namespace"] = settings.temporal_namespace
    try:
        return await Client.connect(
            **connect, data_converter=pydantic_data_converter, runtime=runtime, lazy=lazy
        )
    except RuntimeError as error:  # all that the client says of a failure to connect
        raise NotReachable(
            f"Temporal does not answer at {connect['target_host']}: start it, or set TEMPORAL_ADDRESS ({error})"
        ) from error


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
    open_withdrawals: OpenWithdrawalActivities
    funding: FundingActivities
    sweep: SweepActivities
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
            withdrawals=WithdrawalActivities(
                door, ledger, queries, escrow, lander, operator, settings.withdrawal_minimum
            ),
            open_withdrawals=OpenWithdrawalActivities(door, client, settings.task_queue),
            funding=FundingActivities(door),
            sweep=SweepActivities(door),
            schedules=ScheduleActivities(client, settings.task_queue),
        )
    finally:
        await door.close()
        await escrow.client.close()
        await pool.dispose()


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached. Raises `RecordingFailed`."""
    markets = {market.symbol: market for market in DEFAULT_MARKETS}
    feeds = {symbol: market.feed for symbol, market in markets.items()}
    source = await pick(
        feeds,
        clock=engine.clock,
        hermes=Hermes(http, feeds, [_pyth_signers(settings)], settings.pyth_url, settings.pyth_api_key)
        if settings.pyth_url
        else None,
        accounts=PythAccounts.sponsored(http, settings.pyth_rpc_url, feeds)
        if settings.pyth_rpc_url
        else None,
        others=_other_prices(settings, http, markets, engine.clock),
        path=settings.price_recording,
        seed=settings.price_seed,
        last={
            symbol: micro_usd(index.price, market.tick)
            for symbol, market in markets.items()
            if (index := engine.state.indexes.get(market.id)) is not None
        },
    )
    return feed_into(engine, source)


def feed_into(engine: Engine, source: Source) -> PriceFeed:
    """The feed of `source` that tells `engine` every judgement."""
    markets = {market.symbol: market for market in DEFAULT_MARKETS}

    def on_routed(routed: Routed) -> None:
        market = markets[routed.symbol]
        engine.submit(c.UpdateIndex(market.id, *judgement(routed, market.tick)), None)

    return PriceFeed(source, on_routed, clock=engine.clock)


def _pyth_signers(settings: Settings) -> SignerSet:
    """Whose signatures prices are believed from. Raises `Refused` for hand-overs that the set before did not sign."""
    path = settings.pyth_hand_overs
    return trusted_now(read_hand_overs(path.read_text())) if path is not None else ROUTERS


def _other_prices(
    settings: Settings, http: httpx.AsyncClient, symbols: Collection[str], clock: Clock
) -> list[Polled]:
    """Publishers besides Pyth, where they are configured."""
    others: list[Polled] = []
    if settings.chainlink_rpc_url:
        # Here, because web3 takes most of a second to import, and few need it.
        from oracles.chainlink import MAINNET, Chainlink

        feeds = {symbol: MAINNET[symbol] for symbol in symbols if symbol in MAINNET}
        others.append(Chainlink(http, settings.chainlink_rpc_url, feeds, clock))
    if settings.hyperliquid_url:
        coins = {symbol: symbol.removesuffix("-PERP") for symbol in symbols}
        others.append(HyperliquidMids(http, coins, clock, settings.hyperliquid_url))
    return others


def _told_to_stop() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def serve_api(settings: Settings) -> None:
    """Run engine, prices, HTTP and WebSocket until told to stop. Raises what ends one of them."""
    stopped = _told_to_stop()
    pool = open_pool(database_url(settings))
    engine = Engine(settings.perpdex_data / "journal", SteadyClock())
    try:
        await _list_markets(engine)
        async with httpx.AsyncClient() as http:
            feed = await price_feed(settings, engine, http)
            feeding = asyncio.create_task(feed.run())
            try:
                server = await Server.start(await _given(settings, engine, pool, feed))
                urls = {"http": server.http_url, "websocket": server.websocket_url}
                _log.info("serving", **urls, prices=feed.source_label)
                await server.serve_until(stopped)
            finally:
                feeding.cancel()
    finally:
        engine.close()
        await pool.dispose()


async def _list_markets(engine: Engine) -> None:
    for market in DEFAULT_MARKETS:
        # Where money is, nobody opens at a price of which too little is known; an operator with one maker may decide otherwise.
        listed = await engine.ask(c.ListMarket(replace(market, thin_only_reduces=True)))
        if isinstance(listed, Rejection):
            _log.warning("market kept as it was listed", symbol=market.symbol, why=listed.message)


async def _given(settings: Settings, engine: Engine, pool: AsyncEngine, feed: PriceFeed) -> Given:
    """What the API works with."""
    escrow = escrow_client(settings)
    await escrow.client.close()
    # Lazy, because trading needs no Temporal: without it only withdrawals wait.
    temporal = await temporal_client(settings, lazy=True)
    return Given(
        engine=engine,
        journal=settings.perpdex_data / "journal",
        sessions=Sessions(
            secret(settings.perpdex_data / "keys" / "sessions.secret").encode(),
            operators(settings),
            engine.clock,
        ),
        reads=History(Queries(pool)),
        withdrawals=TemporalWithdrawals(temporal, settings.task_queue),
        escrow=EscrowInfo(
            program=str(escrow.addresses.program_id),
            escrow=str(escrow.addresses.escrow),
            vault=str(escrow.addresses.vault),
            mint=str(escrow.mint),
            rpc_url=rpc_url(settings),
        ),
        prices=feed,
        host=settings.api_host,
        public_host=settings.announced_host,
        http_port=settings.api_port,
        websocket_port=settings.websocket_port,
        clock=engine.clock,
        trusted_proxies=settings.trusted_proxies,
    )


async def serve_projector(settings: Settings) -> None:
    """Follow the journal into PostgreSQL until told to stop, whatever happens to the database meanwhile.

    Raises `JournalDiffers` when the database has projected another journal, `JournalCorrupt` when the journal cannot be read.
    """
    stopped = _told_to_stop()
    while not stopped.is_set():
        try:
            await _project(settings, stopped)
        except (psycopg.OperationalError, ProjectorBusy, JournalGap) as error:
            _log.warning("projecting again soon", why=str(error).strip())
            await _pause(stopped, PROJECT_AGAIN_S)


async def _project(settings: Settings, stopped: asyncio.Event) -> None:
    """One connection's life. The last projected record is handed in again, as the proof that it is the same journal."""
    journal = settings.perpdex_data / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    with closing(Projector(database_url(settings))) as projector:
        _log.info("projecting", after=projector.sequence)
        with closing(Tail(journal, max(0, projector.sequence - 1))) as tail:
            while not stopped.is_set():
                records = tail.read()
                if records:
                    projector.apply(records)
                else:
                    await _pause(stopped, PROJECT_EVERY_S)


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
