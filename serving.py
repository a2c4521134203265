"""The processes of the network that are not the worker: the API with the matcher, and the projector, each until told to stop."""

import asyncio
import signal
import time
from contextlib import closing, suppress
from typing import Final

import httpx
import psycopg
import structlog
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from api.callers import ROOM, Room
from api.collaborators import EscrowInfo
from api.history import History
from api.open_files import fewer, open_files, room_in
from api.server import Given, Server
from api.sessions import Sessions
from api.withdrawals import TemporalWithdrawals
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from ledger.database import open_pool
from ledger.projector import JournalGap, Projector, ProjectorBusy
from ledger.queries import Queries
from matcher import commands as c
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.rejections import Rejection
from matcher.tail import Tail
from oracles.feed import PriceFeed
from settings import Settings
from wiring import (
    database_url,
    escrow_client,
    must_be_our_cluster,
    operators,
    price_feed,
    rpc_url,
    secret,
    temporal_client,
)
from workflows.steps import WITHDRAWALS

PROJECT_EVERY_S: Final = 0.05
PROJECT_AGAIN_S: Final = 1.0
FORGET_EVERY_S: Final = 1.0
_log = structlog.get_logger("serving")


def _told_to_stop() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def serve_api(settings: Settings) -> None:
    """Run engine, prices, HTTP and WebSocket until told to stop. Raises what ends one of them."""
    stopped = _told_to_stop()
    share = open_files()
    room = room_in(share)
    if room != ROOM:
        _log.warning(fewer(share, room))
    # Trading needs no chain: a node that is silent now is no reason to stay away.
    await must_be_our_cluster(settings, patient=False)
    pool = open_pool(database_url(settings))
    engine = Engine(
        settings.perpdex_data / "journal", SteadyClock(), free_min=settings.disk_floor_mb * 1_000_000
    )
    try:
        await _list_markets(engine)
        async with httpx.AsyncClient() as http:
            feed = await price_feed(settings, engine, http)
            feeding = asyncio.create_task(feed.run())
            try:
                server = await Server.start(await _given(settings, engine, pool, feed, room))
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


async def _given(settings: Settings, engine: Engine, pool: AsyncEngine, feed: PriceFeed, room: Room) -> Given:
    """What the API works with."""
    escrow = await escrow_client(settings)
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
        withdrawals=TemporalWithdrawals(temporal, settings.task_queue + WITHDRAWALS),
        withdrawal_minimum=settings.withdrawal_minimum,
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
        public_websocket_url=settings.public_websocket_url,
        http_port=settings.api_port,
        websocket_port=settings.websocket_port,
        clock=engine.clock,
        trusted_proxies=settings.trusted_proxies,
        # Where the doors are narrower, one address still takes no larger share of them.
        connections_per_address=max(1, settings.connections_per_address * room.http // ROOM.http),
        room=room,
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
    forget_at = time.monotonic()
    with closing(Projector(database_url(settings))) as projector:
        _log.info("projecting", after=projector.sequence)
        with closing(Tail(journal, max(0, projector.sequence - 1))) as tail:
            while not stopped.is_set():
                records = tail.read()
                if records:
                    projector.apply(records)
                if time.monotonic() >= forget_at:
                    forget_at = time.monotonic() + FORGET_EVERY_S
                    projector.forget_unfilled(settings.requests_kept_days * 24 * 3_600 * SECOND)
                if not records:
                    await _pause(stopped, PROJECT_EVERY_S)


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
