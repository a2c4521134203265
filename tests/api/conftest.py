"""A real exchange on a temporary journal behind its real doors on free ports, and agents that speak the raw protocol."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from msgspec import structs
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.collaborators import EscrowInfo
from api.history import History
from api.quant import VaultTrading
from api.server import Given, Server
from api.sessions import Sessions
from api.vault_books import VaultBooks
from api.withdrawals import TemporalWithdrawals
from core.events import Event, PremiumSampled
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND, Nanos
from core.validity import Validity
from core.vault_risk import common_template, rules_from
from feeding import feed_into
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from matcher import commands as c
from matcher.engine import Engine
from matcher.tail import Tail
from oracles.generator import STARTS
from oracles.sources import Played, Source
from workflows.exec_service import ExecService

OPERATOR_TOKEN = "operator-token-of-the-tests-0123456789"
ADAS_TOKEN = "token-of-another-operator-called-ada-012"
ESCROW = EscrowInfo(*(str(Pubkey(bytes([number] * 32))) for number in range(1, 5)), "http://127.0.0.1:1")
NOBODY = "127.0.0.1:1"
SET_UP = frozenset({"agents", "hyper", "mock_gold"})
TEMPLATE = common_template(
    SET_UP, rules_from({"allowedVenues": "hyper,mock_gold", "perVenue": {"hyper": {"maxLeverage": 5}}})
)
BTC_INDEX = 600_000  # 60,000.0


def quant_over(client: Client) -> VaultTrading:
    """Vaults that nobody has: neither their ledger nor their orders can be reached."""
    pool = open_pool(f"postgresql://{NOBODY}/none")
    return VaultTrading(ExecService(client, "none"), pool)


class Ledger:
    """The real read side, which takes in the journal whenever it is asked; its database is made for the first question.

    `behind` are the newest records, which it has not got to yet; `foreign` are events that it has after them and the journal has not.
    """

    def __init__(self, journal: Path, new_database: Callable[[], str]) -> None:
        self.behind = 0
        self.foreign: list[Event] = []
        self._journal = journal
        self._new_database = new_database
        self._opened: tuple[Projector, Tail, AsyncEngine, History] | None = None
        self._waiting: list[tuple[int, Any]] = []

    def __getattr__(self, question: str) -> Callable[..., Awaitable[Any]]:
        async def answer(*given: Any) -> Any:
            return await getattr(self._caught_up(), question)(*given)

        return answer

    def _caught_up(self) -> History:
        if self._opened is None:
            url = self._new_database()
            pool = open_pool(url)
            self._opened = Projector(url), Tail(self._journal, 0), pool, History(Queries(pool))
        projector, tail, _, history = self._opened
        while found := tail.read():
            self._waiting += found
        last = self._waiting[-1][0] if self._waiting else projector.sequence
        self._waiting += enumerate(self.foreign, last + 1)
        reached = max(0, len(self._waiting) - self.behind)
        projector.apply(self._waiting[:reached])
        del self._waiting[:reached]
        return history

    def pool(self) -> AsyncEngine:
        self._caught_up()
        assert self._opened is not None
        return self._opened[2]

    async def close(self) -> None:
        if self._opened is not None:
            projector, tail, pool, _ = self._opened
            tail.close()
            projector.close()
            await pool.dispose()


class Agent:
    """One agent: its key, session, and a raw WebSocket."""

    def __init__(self, exchange: "Exchange", keypair: Keypair, account: int, token: str) -> None:
        self.exchange = exchange
        self.keypair = keypair
        self.account = account
        self.token = token
        self.socket: Any = None
        self.ready: dict[str, Any] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def open(self, **auth: Any) -> dict[str, Any]:
        """Connect and authenticate; the first answer."""
        self.socket = await websockets.connect(
            self.exchange.server.websocket_url, max_size=None, close_timeout=0.5
        )
        self.exchange.sockets.append(self.socket)
        await self.send(op="auth", id="auth", token=self.token, **auth)
        self.ready = await self.receive()
        return self.ready

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        return dict(json.loads(await asyncio.wait_for(self.socket.recv(), 10)))

    async def until(self, ev: str, **fields: Any) -> dict[str, Any]:
        """The next event of that kind and with those fields, skipping others."""
        while True:
            event = await self.receive()
            if event["ev"] == ev and all(event[name] == value for name, value in fields.items()):
                return event

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and return its `ack` or `error`."""
        await self.send(**message)
        while True:
            event = await self.receive()
            if event["ev"] in ("ack", "error", "pong") and event["id"] == message["id"]:
                return event


class Exchange:
    """A running exchange and its agents."""

    def __init__(
        self, journal: Path, source: Source, options: dict[str, Any], new_database: Callable[[], str]
    ) -> None:
        self.journal = journal
        self.source = source
        self.options = options
        self.sockets: list[Any] = []
        self.ledger = Ledger(journal, new_database)
        self.vaults = VaultBooks(self.ledger.pool, SET_UP, TEMPLATE)
        self.clock = options.get("clock", time.time_ns)
        self.recorded = 0

    async def start(self) -> None:
        self.engine = Engine(self.journal, self.clock, segment_bytes=4 * 1024 * 1024)
        for market in DEFAULT_MARKETS:
            # No feed repeats the prices that are set here.
            self.engine.submit(c.ListMarket(structs.replace(market, fill_max_age=market.index_max_age)), None)
        self.engine.listen(self._heard)
        for market in DEFAULT_MARKETS:
            self.index(market.id, BTC_INDEX)
        given = Given(
            engine=self.engine,
            journal=self.journal,
            sessions=Sessions(b"s" * 32, {"operator": OPERATOR_TOKEN, "ada": ADAS_TOKEN}, time.time_ns),
            reads=self.ledger,
            withdrawals=TemporalWithdrawals(await Client.connect(NOBODY, lazy=True), "none"),
            quant=quant_over(await Client.connect(NOBODY, lazy=True)),
            escrow=ESCROW,
            prices=feed_into(self.engine, self.source),
            vaults=self.vaults,
            lag_max=60 * SECOND,  # the loop is that of the tests, too, which do as they please with it
        )
        self.server = await Server.start(replace(given, **self.options))
        self.http = httpx.AsyncClient(base_url=self.server.http_url, timeout=20)

    def _heard(self, seq: int, event: Event) -> None:
        # Premiums come by themselves, whatever a test does.
        self.recorded += seq > 0 and not isinstance(event, PremiumSampled)

    async def stop(self) -> None:
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()
        await self.http.aclose()
        await self.server.stop()
        self.engine.close()

    def index(self, market: int, price: int, validity: Validity = Validity.VALID) -> None:
        self.engine.submit(c.UpdateIndex(market, price, 0, self.clock(), "test", validity), None)

    async def agent(
        self, name: str = "agent", deposit: int = 1_000_000 * 1_000_000, owner: Keypair | None = None
    ) -> Agent:
        """Register over HTTP with a real signature, bind a slot, and fund it (micro-USDC)."""
        keypair = owner or Keypair()
        challenge = await self.http.post("/api/v1/auth/challenge", json={"owner": str(keypair.pubkey())})
        text = challenge.json()["challenge"]
        body = {
            "owner": str(keypair.pubkey()),
            "name": name,
            "challenge": text,
            "signature": str(keypair.sign_message(text.encode())),
        }
        answer = await self.http.post("/api/v1/agents", json=body)
        assert answer.status_code == 200, answer.text
        account = answer.json()["account"]
        if self.engine.state.accounts[account].page < 0:
            await self.engine.ask(c.BindSlot(account, 0, account - 14))
        if deposit:
            await self.engine.ask(c.CreditDeposit(account, deposit, f"deposit-{account}-{time.time_ns()}"))
        return Agent(self, keypair, account, answer.json()["token"])

    def signed_in(self, owner: Keypair, account: int) -> Agent:
        """An agent of an account that exists."""
        token, _ = self.server.edge.sessions.issue(account, self.engine.state.accounts[account].generation)
        return Agent(self, owner, account, token)

    async def maker(
        self, name: str = "maker", bid: str = "59990.0", ask: str = "60010.0", size: str = "100"
    ) -> Agent:
        """A connected maker with standing BTC quotes."""
        maker = await self.agent(name)
        await maker.open()
        answer = await maker.ask(
            op="quotes", id="q", market="BTC-PERP", bids=[[bid, size]], asks=[[ask, size]], life_ms=60000
        )
        assert answer["ev"] == "ack", answer
        return maker

    async def operator(self, body: Any, token: str = OPERATOR_TOKEN) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.post("/api/v1/operator/commands", json=body, headers=headers)


NewExchange = Callable[..., Awaitable[Exchange]]


@pytest.fixture
async def new_exchange(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[NewExchange]:
    """Starts exchanges; options are those of `Given`. Whoever wants prices of `source` steps the feed, and who wants withdrawals gives
    a Temporal: by default there is none."""
    running: list[Exchange] = []

    def new_database() -> str:
        return str(request.getfixturevalue("new_database")())

    async def start(journal: Path | None = None, source: Source | None = None, **options: Any) -> Exchange:
        played = Played({}, STARTS, start=Nanos(0), seed=1)
        exchange = Exchange(journal or tmp_path / "journal", source or played, options, new_database)
        await exchange.start()
        running.append(exchange)
        return exchange

    yield start
    for exchange in running:
        await exchange.stop()
        await exchange.ledger.close()


@pytest.fixture
async def exchange(new_exchange: NewExchange) -> Exchange:
    return await new_exchange()
