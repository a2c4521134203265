"""The process that serves: the matcher with its HTTP and WebSocket interfaces, until told to stop."""

import asyncio
import gc
from collections.abc import Mapping

import httpx
import structlog
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from api.callers import ROOM, Room
from api.collaborators import EscrowInfo
from api.history import History
from api.open_files import fewer, open_files, room_in
from api.quant import VaultTrading
from api.server import Given, Server
from api.sessions import SECRET_BYTES_MIN, Sessions
from api.vault_books import VaultBooks
from api.withdrawals import TemporalWithdrawals
from chain.addresses import EscrowAddresses
from chain.keys import KeyFileRefused, read_secret
from core.market import DEFAULT_MARKETS
from core.operator_events import EXCHANGE, NETWORK
from core.quantities import SECOND, Nanos
from core.risk_template import RiskTemplate
from core.tickets import SendWithin
from endings import told_to_stop
from feeding import price_feed
from fitting import compare_later, compared, known
from ledger.database import open_pool
from ledger.queries import Queries
from matcher import commands as c
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.rejections import Rejection
from oracles.feed import PriceFeed
from places import database_url, operator_token, public_rpc_url, secret
from settings import Settings
from vault_terms import operator_template, set_up
from wiring import escrow_addresses, escrow_mint, must_be_our_cluster, temporal_client
from workflows.exec_service import ExecService
from workflows.steps import ORDERS, WITHDRAWALS

_log = structlog.get_logger("serving")


async def serve_api(settings: Settings) -> None:
    """Run engine, prices, HTTP and WebSocket until told to stop. Raises what ends one of them.

    Garbage is collected from when agents are let in, whatever was so before.
    """
    stopped = told_to_stop()
    share = open_files()
    room = room_in(share)
    if room != ROOM:
        _log.warning(fewer(share, room))
    # What is set wrong is said before anything is waited for or written.
    pool = open_pool(database_url(settings))
    template, tokens = operator_template(settings), operators(settings)
    escrow = await escrow_addresses(settings)
    # Trading needs no chain: a node that is silent now is no reason to stay away.
    await must_be_our_cluster(settings, patient=False)
    engine = Engine(
        settings.perpdex_data / "journal", SteadyClock(), free_min=settings.disk_floor_mb * 1_000_000
    )
    try:
        at_start = known(engine.state)
        # A silent node keeps nobody from starting, but what it says when it answers still counts.
        comparing = (
            None
            if await compared(settings, at_start)
            else asyncio.create_task(compare_later(settings, at_start, stopped))
        )
        await _list_markets(engine)
        async with httpx.AsyncClient() as http:
            feed = await price_feed(settings, engine, http)
            feeding = asyncio.create_task(feed.run())
            try:
                given = await _given(settings, engine, pool, escrow, feed, room, template, tokens)
                server = await Server.start(given, ready=True)
                # Code, routes and accounts stay for good: never looking at them again keeps collections short.
                gc.collect()
                gc.freeze()
                gc.enable()
                urls = {"http": server.http_url, "websocket": server.websocket_url}
                _log.info("serving", **urls, prices=feed.source_label)
                await server.serve_until(stopped)
            finally:
                feeding.cancel()
        if comparing is not None and not comparing.cancel():
            comparing.result()
    finally:
        engine.close()
        await pool.dispose()


async def _list_markets(engine: Engine) -> None:
    for market in DEFAULT_MARKETS:
        # Where money is, nobody opens at a price of which too little is known; an operator with one maker may decide otherwise.
        default = replace(market, thin_only_reduces=True)
        # What changes an exchange that runs is in the audit trail; what it begins with is in none.
        why = "another default of this release" if market.id in engine.state.markets else ""
        listed = await engine.ask(c.ListMarket(default, who=EXCHANGE, why=why))
        if isinstance(listed, Rejection):
            _log.warning("market kept as it was listed", symbol=market.symbol, why=listed.message)


async def _given(
    settings: Settings,
    engine: Engine,
    pool: AsyncEngine,
    escrow: EscrowAddresses,
    feed: PriceFeed,
    room: Room,
    template: RiskTemplate,
    tokens: Mapping[str, str],
) -> Given:
    """What the API works with."""
    # Lazy, because trading needs no Temporal: without it only withdrawals wait.
    temporal = await temporal_client(settings, lazy=True)
    return Given(
        engine=engine,
        journal=settings.perpdex_data / "journal",
        sessions=Sessions(
            secret(settings.perpdex_data / "keys" / "sessions.secret").encode(),
            tokens,
            engine.clock,
        ),
        reads=History(Queries(pool)),
        withdrawals=TemporalWithdrawals(temporal, settings.task_queue + WITHDRAWALS),
        withdrawal_minimum=settings.withdrawal_minimum,
        nav_interval_s=settings.nav_interval_s,
        quant=VaultTrading(
            ExecService(
                temporal,
                settings.task_queue + ORDERS,
                send_within=SendWithin(
                    Nanos(settings.exec_market_within_s * SECOND),
                    Nanos(settings.exec_limit_within_s * SECOND),
                ),
            ),
            pool,
        ),
        escrow=EscrowInfo(
            program=str(escrow.program_id),
            escrow=str(escrow.escrow),
            vault=str(escrow.vault),
            mint=str(escrow_mint(settings)),
            rpc_url=public_rpc_url(settings),
        ),
        prices=feed,
        vaults=VaultBooks(lambda: pool, set_up(settings), template),
        host=settings.api_host,
        public_host=settings.announced_host,
        public_websocket_url=settings.public_websocket_url,
        http_port=settings.api_port,
        websocket_port=settings.websocket_port,
        clock=engine.clock,
        trusted_proxies=settings.trusted_proxies,
        # Where the doors are narrower, one address still takes no larger share of them.
        connections_per_address=max(1, settings.connections_per_address * room.http // ROOM.http),
        room=room,
    )


def operators(settings: Settings) -> dict[str, str]:
    """Tokens of the operator door by the names that the audit trail has for them: the network's own, and one for each person's file
    in keys/operators. Raises `KeyFileRefused` for one that is too short, and for what would leave open who did something.

    A person's file that is open to others, or another user's, is left out and told: that person waits, and not the exchange.
    """
    tokens = {NETWORK: operator_token(settings)}
    if len(tokens[NETWORK]) < SECRET_BYTES_MIN:
        raise KeyFileRefused(
            f"The token of the operator door has fewer than {SECRET_BYTES_MIN} characters: give OPERATOR_TOKEN more, or leave it out"
        )
    for path in sorted((settings.perpdex_data / "keys" / "operators").glob("*.token")):
        try:
            token = read_secret(path).decode().strip()
        except (KeyFileRefused, OSError, UnicodeDecodeError) as refused:
            _log.error(
                "a person's token is not accepted",
                name=path.stem,
                why=str(refused),
                then="restart the API",
            )
            continue
        if path.stem in (NETWORK, EXCHANGE):
            raise KeyFileRefused(f"{path}: nobody may be called {path.stem}, which means something else")
        if len(token) < SECRET_BYTES_MIN or token in tokens.values():
            raise KeyFileRefused(
                f"{path}: a token has {SECRET_BYTES_MIN} characters at least and is one person's"
            )
        tokens[path.stem] = token
    return tokens
