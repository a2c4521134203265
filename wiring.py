"""Builds the real adapters from settings; with `serving` and `worker` the only place that meets every floor."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import structlog
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.deposits import DepositActivities
from activities.engine_door import EngineDoor
from activities.exits import ExitActivities
from activities.funding import FundingActivities
from activities.landing import Lander
from activities.open_withdrawals import OpenWithdrawalActivities
from activities.reconciliation import ReconciliationActivities
from activities.rotation import RotationActivities
from activities.schedules import ScheduleActivities
from activities.settlement import SettlementActivities
from activities.slots import SlotActivities
from activities.sweep import SweepActivities
from activities.withdrawals import WithdrawalActivities
from api.sessions import SECRET_BYTES_MIN
from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, KeypairSigner, create_secret, forbid_core_dumps
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.rpc import ChainUnavailable
from chain.signers.interface import Signer
from chain.signers.opening import open_signer
from core.market import DEFAULT_MARKETS, MarketStatus
from core.operator_events import EXCHANGE, NETWORK
from endings import NotReachable
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.settlement import Settlement
from matcher import commands as c
from matcher.engine import Engine
from oracles.feed import PriceFeed, pick
from oracles.hermes import Hermes
from oracles.index import Routed
from oracles.judgement import judgement
from oracles.perp_mids import HyperliquidMids
from oracles.polling import Polled
from oracles.price import micro_usd
from oracles.pyth_account import PythAccounts
from oracles.signers import ROUTERS, read_hand_overs, trusted_now
from oracles.sources import LIVE, Clock, Source
from oracles.vaa import SignerSet
from settings import Settings
from workflows.encryption import data_converter
from workflows.steps import WITHDRAWALS

_log = structlog.get_logger("wiring")
ASK_AGAIN_S: Final = 1.0


def secret(path: Path) -> str:
    """The secret in a file of one's own, made when there is none. Raises `KeyFileRefused`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_secret(path, lambda: secrets.token_hex(32))
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

    TEMPORAL_API_KEY, TEMPORAL_TLS and the like mean what they mean to every Temporal tool. Raises `NotReachable`, and `KeyFileRefused`
    for payload keys that cannot be used.
    """
    connect = ClientConfig.load_client_connect_config()
    connect["target_host"] = settings.temporal_address or f"127.0.0.1:{settings.temporal_port}"
    connect["namespace"] = settings.temporal_namespace
    try:
        return await Client.connect(
            **connect, data_converter=data_converter(settings.payload_keys), runtime=runtime, lazy=lazy
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


@asynccontextmanager
async def operator_signer(settings: Settings) -> AsyncIterator[Signer]:
    """The operator's key, wherever it is; the one in keys/operator.json is made when it is missing.

    Raises `KeyFileRefused` and `SigningFailed`.
    """
    forbid_core_dumps()
    if settings.operator_key:
        async with open_signer(settings.operator_key) as signer:
            yield signer
    else:
        yield KeypairSigner.load_or_create(settings.perpdex_data / "keys" / "operator.json")


async def escrow_client(settings: Settings) -> EscrowClient:
    """The escrow of the configured admin, or of the operator's key. Raises what `operator_signer` raises."""
    if settings.escrow_admin:
        admin = Pubkey.from_string(settings.escrow_admin)
    else:
        async with operator_signer(settings) as operator:
            admin = operator.pubkey
    program = Pubkey.from_string(settings.escrow_program) if settings.escrow_program else PROGRAM_ID
    mint = Pubkey.from_string(settings.escrow_mint) if settings.escrow_mint else USDC_MINT
    return EscrowClient(AsyncClient(rpc_url(settings), timeout=10), program, admin, mint)


async def must_be_our_cluster(settings: Settings, *, patient: bool) -> None:
    """See that the node belongs to the cluster that SOLANA_CLUSTER names, before anything is signed for it or shown to agents.

    A node that does not answer is no wrong one: the `patient` ask until it does, others go on. Raises `WrongCluster`.
    """
    async with AsyncClient(rpc_url(settings), timeout=10) as client:
        while True:
            try:
                await ClusterView(client).must_be(settings.solana_cluster)
                return
            except ChainUnavailable as error:
                _log.warning("the node does not say which cluster it belongs to", why=str(error))
            if not patient:
                return
            await asyncio.sleep(ASK_AGAIN_S)


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


async def price_feed(settings: Settings, engine: Engine, http: httpx.AsyncClient) -> PriceFeed:
    """The feed of every market's index, live where Pyth can be reached. Raises `OnlyLive`, `RecordingFailed`."""
    # A source that is gone with its market must not keep the others from being live.
    markets = {one.symbol: one for one in DEFAULT_MARKETS if not _ended(engine, one.id)}
    feeds = {symbol: market.feed for symbol, market in markets.items()}
    source = await pick(
        feeds,
        clock=engine.clock,
        hermes=Hermes(http, feeds, [_pyth_signers(settings)], settings.pyth_url, settings.pyth_api_key)
        if settings.pyth_url and feeds
        else None,
        accounts=PythAccounts.sponsored(http, settings.pyth_rpc_url, feeds)
        if settings.pyth_rpc_url and feeds
        else None,
        others=_other_prices(settings, http, markets, engine.clock),
        path=settings.price_recording,
        seed=settings.price_seed,
        last={
            symbol: micro_usd(index.price, market.tick)
            for symbol, market in markets.items()
            if (index := engine.state.indexes.get(market.id)) is not None
        },
        only_live=bool(settings.solana_cluster)
        or any(index.source in LIVE for index in engine.state.indexes.values()),
    )
    return feed_into(engine, source)


def feed_into(engine: Engine, source: Source) -> PriceFeed:
    """The feed of `source` that tells `engine` every judgement of a market that has not ended."""
    markets = {market.symbol: market for market in DEFAULT_MARKETS}

    def on_routed(routed: Routed) -> None:
        market = markets[routed.symbol]
        engine.submit(c.UpdateIndex(market.id, *judgement(routed, market.tick)), None)

    return PriceFeed(
        source,
        on_routed,
        clock=engine.clock,
        ended=lambda symbol: _ended(engine, markets[symbol].id),
    )


def _ended(engine: Engine, market: int) -> bool:
    return engine.state.statuses.get(market) == MarketStatus.SETTLED


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
