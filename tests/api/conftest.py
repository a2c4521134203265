"""A real exchange on a temporary journal behind its real doors on free ports, and agents that speak the raw protocol."""

import asyncio
import gc
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
from msgspec.structs import astuple
from solders.keypair import Keypair

from api.collaborators import EscrowInfo, WithdrawalView
from api.server import Given, Server
from api.sessions import Sessions
from api.streams import Item
from core.batches import BatchStatus
from core.concerns import concerns
from core.events import BatchAdvanced, Event, Filled, FundingSettled, PremiumSampled, SettlementCut
from core.funding_events import paid_by
from core.liquidation_events import LiquidationEnded, LiquidationStarted
from core.market import DEFAULT_MARKETS
from core.operator_events import MarketSettled
from core.quantities import SECOND, Nanos
from core.validity import Validity
from ledger.breakers import MarketEnd, OperatorAction, action_of, end_of_market
from ledger.queries import (
    BatchView,
    FillView,
    FundingPayment,
    FundingRate,
    InsuranceChange,
    LiquidationView,
    StepView,
)
from ledger.rows_liquidation import insurance_change, steps
from matcher import commands as c
from matcher.engine import Engine
from matcher.tail import Tail
from oracles.generator import STARTS
from oracles.sources import Played, Source
from wiring import feed_into

OPERATOR_TOKEN = "operator-token-of-the-tests-0123456789"
ADAS_TOKEN = "token-of-another-operator-called-ada-012"
ESCROW = EscrowInfo("11111111111111111111111111111112", "escrow", "vault", "mint", "http://127.0.0.1:1")
BTC_INDEX = 600_000  # 60,000.0


class JournalReads:
    """The read side computed from the journal itself, for tests that need no database."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def _records(self) -> list[tuple[int, Any]]:
        tail = Tail(self._journal, 0)
        try:
            records = []
            while found := tail.read():
                records += found
            return records
        finally:
            tail.close()

    async def stream(self, account: int, after: int, limit: int) -> list[Item]:
        mine = [(seq, event) for seq, event in self._records() if account in concerns(event)]
        items = [Item(number, seq, event) for number, (seq, event) in enumerate(mine, 1)]
        return [item for item in items if item.number > after][:limit]

    async def _fills(self) -> list[FillView]:
        records = self._records()
        return [await self._row(seq, event) for seq, event in records if isinstance(event, Filled)]

    async def _row(self, seq: int, f: Filled) -> FillView:
        batch = next(
            (row for row in await self.batches(1 << 60, 1000) if row.after_seq < seq <= row.seq), None
        )
        number, status = (batch.batch, batch.status) if batch else (0, int(BatchStatus.MATCHED))
        sides = (f.taker, f.maker, f.side, f.size, f.price, f.fee, f.taker_realized, f.maker_realized)
        return FillView(f.fill, seq, f.at, f.market, *sides, number, status)

    async def fill(self, number: int) -> FillView | None:
        return next((row for row in await self._fills() if row.fill == number), None)

    async def fills(self, account: int, before: int, limit: int) -> list[FillView]:
        mine = [row for row in await self._fills() if account in (row.taker, row.maker) and row.fill < before]
        return mine[::-1][:limit]

    async def batch(self, number: int) -> BatchView | None:
        return next((row for row in await self.batches(1 << 60, 1000) if row.batch == number), None)

    async def batches(self, before: int, limit: int) -> list[BatchView]:
        rows: dict[int, BatchView] = {}
        last = 0
        for seq, event in self._records():
            if isinstance(event, SettlementCut):
                rows[event.batch] = BatchView(event.batch, last, seq, event.at, 1, "", 0, 0, 0, 0, ())
                last = seq
            elif isinstance(event, BatchAdvanced):
                row = rows[event.batch]
                rows[event.batch] = row._replace(status=event.status, signatures=event.signatures)
        return [row for row in reversed(rows.values()) if row.batch < before][:limit]

    async def funding_rates(self, market: int, before: int, limit: int) -> list[FundingRate]:
        paid = [(seq, event) for seq, event in self._records() if isinstance(event, FundingSettled)]
        rows = [
            FundingRate(*astuple(event)[1:-1], seq, event.at)
            for seq, event in reversed(paid)
            if event.market == market and event.hour < before
        ]
        return rows[:limit]

    async def funding_payments(self, account: int, before: int, limit: int) -> list[FundingPayment]:
        paid = [(seq, event) for seq, event in self._records() if isinstance(event, FundingSettled)]
        rows = [
            FundingPayment(seq, one.at, one.market, one.hour, paid_by(one, account), one.hourly, one.index)
            for seq, one in reversed(paid)
            if paid_by(one, account) and seq < before
        ]
        return rows[:limit]

    async def operator_actions(self, before: int, limit: int) -> list[OperatorAction]:
        found = [action_of(seq, event) for seq, event in self._records() if seq < before]
        return [action for action in found if action is not None][::-1][:limit]

    async def market_end(self, market: int) -> MarketEnd | None:
        ends = [
            end_of_market(seq, event) for seq, event in self._records() if isinstance(event, MarketSettled)
        ]
        return next((end for end in ends if end.market == market), None)

    async def liquidations(self, before: int, limit: int) -> list[LiquidationView]:
        rows: dict[int, LiquidationView] = {}
        for seq, event in self._records():
            if isinstance(event, LiquidationStarted):
                standing = event.account, event.equity, event.maintenance
                row = LiquidationView(event.liquidation, seq, event.at, *standing, "", 0)
                rows[event.liquidation] = row
            elif isinstance(event, LiquidationEnded):
                row = rows[event.liquidation]
                rows[event.liquidation] = row._replace(outcome=event.why, ended_at=event.at)
        return [row for row in reversed(rows.values()) if row.liquidation < before][:limit]

    async def liquidation(self, number: int) -> tuple[LiquidationView, list[StepView]] | None:
        found = [row for row in await self.liquidations(1 << 60, 1000) if row.liquidation == number]
        return (found[0], [step for step in self._steps() if step.liquidation == number]) if found else None

    async def deleveragings(self, before: int, limit: int) -> list[StepView]:
        rows = [step for step in self._steps() if step.kind == "deleveraging" and step.seq < before]
        return rows[::-1][:limit]

    def _steps(self) -> list[StepView]:
        return [StepView(*row) for seq, event in self._records() for row in steps(seq, event)]

    async def insurance_history(self, before: int, limit: int) -> list[InsuranceChange]:
        rows, balance, floor = [], 0, 0
        for seq, event in self._records():
            change = insurance_change(seq, event)
            if change is not None:
                balance += change["amount"]
                floor = floor if change["floor"] is None else change["floor"]
                rows.append(InsuranceChange(**{**change, "balance": balance, "floor": floor}))
        return [row for row in reversed(rows) if row.seq < before][:limit]

    async def prove_fill(self, number: int) -> None:
        """Proofs are the real ledger's: see test_history_reads."""

    async def prove_account(self, batch: int, account: int) -> None:
        """See above."""

    async def period(self, account: int, start: int, end: int, through_seq: int | None) -> None:
        """Statements are the real ledger's: see test_statements."""

    async def projected(self) -> int:
        records = self._records()
        return records[-1][0] if records else 0


class WithdrawalsInMemory:
    """Keeps withdrawals as the process host would show them; pays nothing."""

    def __init__(self) -> None:
        self.views: dict[str, WithdrawalView] = {}

    async def start(
        self, account: int, owner: str, amount: int, key: str, destination: str
    ) -> WithdrawalView:
        id = f"withdrawal-{account}-{key}"
        view = WithdrawalView(id, account, amount, destination, "awaiting_signature", "AQ==", None, None)
        return self.views.setdefault(id, view)

    async def read(self, id: str) -> WithdrawalView | None:
        return self.views.get(id)

    async def sign(self, id: str, signature: str) -> WithdrawalView | None:
        if id in self.views:
            self.views[id] = self.views[id]._replace(status="paid", message=None, signature=signature)
        return self.views.get(id)


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

    def __init__(self, journal: Path, source: Source, options: dict[str, Any]) -> None:
        self.journal = journal
        self.source = source
        self.options = options
        self.sockets: list[Any] = []
        self.withdrawals = WithdrawalsInMemory()
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
            reads=JournalReads(self.journal),
            withdrawals=self.withdrawals,
            escrow=ESCROW,
            prices=feed_into(self.engine, self.source),
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
async def new_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NewExchange]:
    """Starts exchanges; options are those of `Given`. Whoever wants prices of `source` steps the feed."""
    # An engine collects garbage as it starts; over the heap of a whole test run that takes longer than the tests.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    running: list[Exchange] = []

    async def start(journal: Path | None = None, source: Source | None = None, **options: Any) -> Exchange:
        played = Played({}, STARTS, start=Nanos(0), seed=1)
        exchange = Exchange(journal or tmp_path / "journal", source or played, options)
        await exchange.start()
        running.append(exchange)
        return exchange

    yield start
    for exchange in running:
        await exchange.stop()


@pytest.fixture
async def exchange(new_exchange: NewExchange) -> Exchange:
    return await new_exchange()
