"""HTTP and WebSocket in one loop, beside the engine whose loop it is."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from api.admission import ALL, PER_ADDRESS, Admission
from api.allowance import LIMITS, Allowances, Limits
from api.app import COMMANDS, create_app, work_out
from api.body_limit import Commands
from api.bucket import Rate
from api.callers import PER_ADDRESS as PER_ADDRESS_OPEN
from api.callers import ROOM, Places, Room
from api.collaborators import Edge, EscrowInfo, Reads, Withdrawals
from api.http_door import PATIENCE, Bounds, Patience, door_with
from api.hub import Hub
from api.inbound import Inbound
from api.lag import LAG_MAX, Lag
from api.listening import Listening
from api.metrics import Metrics
from api.metrics_breakers import BreakerMetrics
from api.metrics_prices import PriceMetrics
from api.metrics_risk import RiskMetrics
from api.metrics_vaults import VaultMetrics
from api.quant import VaultTrading
from api.quant_limits import QuantLimits
from api.sessions import Sessions
from api.socket_door import Waiting
from api.socket_server import SocketServer
from api.statistics import MakerStatistics
from api.streams import Streams
from api.units import Markets
from api.vault_books import VaultBooks
from api.vault_streams import VaultStreams
from api.withdrawal_starts import WithdrawalStarts
from core.quantities import SECOND
from matcher.engine import Engine
from oracles.feed import PriceFeed

STOP_TIMEOUT: Final = 3


@dataclass(frozen=True, slots=True)
class Given:
    """What the wiring gives the server. `public_host` is the name, as in a URL, under which agents reach the WebSocket, unless
    `public_websocket_url` says all of its address.

    `trusted_proxies` are the addresses or networks, separated by commas, whose word on who is calling counts. `withdrawal_minimum` is
    the worker's, in micro-USDC, and `nav_interval_s` how often it takes snapshots of vaults.
    """

    engine: Engine
    journal: Path
    sessions: Sessions
    reads: Reads
    withdrawals: Withdrawals
    quant: VaultTrading
    escrow: EscrowInfo
    prices: PriceFeed
    vaults: VaultBooks
    clock: Callable[[], int] = time.time_ns
    host: str = "127.0.0.1"
    public_host: str = "127.0.0.1"
    public_websocket_url: str = ""
    http_port: int = 0
    websocket_port: int = 0
    trusted_proxies: str = ""
    withdrawal_minimum: int = 0
    nav_interval_s: int = 3_600
    connections_per_address: int = PER_ADDRESS_OPEN
    room: Room = ROOM
    patience: Patience = PATIENCE
    limits: Limits = LIMITS
    lag_max: int = LAG_MAX
    registrations: Rate = ALL
    registrations_per_address: Rate = PER_ADDRESS


class Server:
    """Both doors. `start` returns when they are open; ports asked for as 0 are then known."""

    def __init__(self, given: Given, edge: Edge, sockets: SocketServer) -> None:
        self._given = given
        self.edge = edge
        self.sockets = sockets
        self._bounds = Bounds(
            _places(given), given.room.http, Commands(edge.sessions, COMMANDS), given.patience
        )
        self.http_port = 0
        self.websocket_port = 0

    @classmethod
    async def start(cls, given: Given, ready: bool = False) -> "Server":
        """`ready`: what the first call would wait for is done before the doors open. Raises `OSError` when a port is taken."""
        streams = await Streams.start(given.engine, given.journal)
        server: Server
        edge = build_edge(given, streams, lambda: server.websocket_url)
        waiting = Waiting(_places(given), given.room.waiting)
        server = cls(given, edge, SocketServer(edge, _places(given), waiting, given.room))
        app = create_app(edge)
        if ready:
            work_out(app)
        await server._open(app)
        return server

    @property
    def http_url(self) -> str:
        return f"http://{self._given.public_host}:{self.http_port}"

    @property
    def websocket_url(self) -> str:
        given = self._given
        return given.public_websocket_url or f"ws://{given.public_host}:{self.websocket_port}/ws"

    async def _open(self, app: FastAPI) -> None:
        given = self._given
        family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
        address, backlog = (given.host, given.http_port), given.room.backlog
        listening = socket.create_server(address, family=family, backlog=backlog)
        # Inherited by what it accepts: asyncio leaves sockets made by others with Nagle's 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.http_port = listening.getsockname()[1]
        self.websocket_port = await self.sockets.start(given.host, given.websocket_port)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            http=door_with(self._bounds),
            # An upgraded connection would leave the door's hands with its place, and the WebSocket has a port of its own.
            ws="none",
            backlog=backlog,
            # uvicorn would believe anyone on this machine: each caller could then name an address of its own for every new agent.
            proxy_headers=bool(given.trusted_proxies),
            forwarded_allow_ips=given.trusted_proxies,
            timeout_keep_alive=given.patience.idle,
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
        self._http = _Http(config)
        held = self._http.server_state.connections
        self.edge.metrics.gauge("perpdex_http_connections", "HTTP connections held open", lambda: len(held))
        self.edge.lag.start()
        self._serving = asyncio.get_running_loop().create_task(self._http.serve([listening]))
        opened = asyncio.get_running_loop().create_task(self._http.opened.wait())
        await asyncio.wait({opened, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()

    async def stop(self) -> None:
        """Close both doors; the engine is left to its owner. From now on no conversation begins: who comes is told so."""
        self.edge.lag.stop()
        self._bounds.stopping = self._http.should_exit = True
        await self.sockets.stop()
        await self._serving
        for connection in list(self._http.server_state.connections):
            # uvicorn has given up on these, and would leave them to their peers.
            connection.transport.abort()

    async def serve_until(self, stopped: asyncio.Event) -> None:
        """Serve until `stopped` is set, or raise what ended the HTTP server."""
        waiting = asyncio.get_running_loop().create_task(stopped.wait())
        await asyncio.wait({waiting, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await self.stop()


def _places(given: Given) -> Places:
    return Places(given.connections_per_address, given.trusted_proxies)


class _Http(uvicorn.Server):
    """uvicorn that says when it is open and leaves signals alone: the process belongs to whoever started it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.opened = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.opened.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def build_edge(given: Given, streams: Streams, websocket_url: Callable[[], str]) -> Edge:
    """The edge's parts, all listening to the engine."""
    state = given.engine.state
    markets = Markets(state.markets)
    listening = Listening()
    statistics = MakerStatistics(state.markets, listening)
    metrics = Metrics(given.engine, listening, given.clock)
    BreakerMetrics(state, listening, metrics.registry)
    RiskMetrics(state, given.clock, listening, metrics.registry)
    PriceMetrics(state, given.prices, given.clock, metrics.registry)
    hub = Hub(given.engine, streams, markets, listening)
    given.engine.listen(listening.hear)
    lag = Lag(given.lag_max)
    metrics.gauge("perpdex_loop_lag_seconds", "How late the loop's last timer was", lambda: lag.last / SECOND)
    metrics.gauge("perpdex_connections", "Authenticated WebSocket connections", hub.connection_count)
    return Edge(
        engine=given.engine,
        clock=given.clock,
        streams=streams,
        hub=hub,
        inbound=Inbound(state, markets, given.clock),
        sessions=given.sessions,
        admission=Admission(given.registrations, given.registrations_per_address, time.monotonic_ns()),
        limits=given.limits,
        allowances=Allowances(given.limits),
        lag=lag,
        statistics=statistics,
        metrics=metrics,
        vault_metrics=VaultMetrics(given.quant, given.clock, metrics.registry, given.nav_interval_s),
        reads=given.reads,
        withdrawals=given.withdrawals,
        vaults=given.vaults,
        starts=WithdrawalStarts(given.withdrawal_minimum, time.monotonic_ns()),
        quant=given.quant,
        quant_limits=QuantLimits(),
        vault_streams=VaultStreams(given.quant),
        escrow=given.escrow,
        prices=given.prices,
        websocket_url=websocket_url,
    )
