"""The whole network in processes of its own, quick, with the worker's way to the chain through a proxy that breaks calls."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.engine_door import EngineDoor
from activities.schedules import SETTLEMENT_ID, SETTLEMENT_SCHEDULE
from activities.settlement import BatchReceipt
from chain.deltas import decode_deltas
from chain.escrow import EscrowClient
from chain.escrow_view import EscrowSnapshot
from chain.events import BatchSealed, Deposited, Event, PageSettled, Withdrawn, parse_events
from chain.keys import Signer
from chain.localnet.fault_proxy import FaultProxy
from chain.localnet.genesis import PROGRAM_FILE, PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from core.batches import BatchStatus
from ledger.database import open_pool
from ledger.embedded import EmbeddedPostgres
from ledger.queries import Queries
from ledger.settlement import Settlement, StoredBatch
from workflows.settlement import SettlementWorkflow

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "operator-token-of-the-tests-0123456789"
SLOT_MS = 20
"""Blockhashes live three seconds."""


class Process:
    """A child that can be killed and started again; its output is kept."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._command = command
        self._log = log
        self._environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", **environment}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._child = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=output, stderr=output
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self._child is None:
            return 0
        self._child.send_signal(how)
        code = self._child.wait(30)
        self._child = None
        return code

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def said(self) -> str:
        return self._log.read_text(errors="replace")


class Network:
    """Everything but the agents. The proxy stands between the worker and the chain; all others go there directly."""

    def __init__(self, directory: Path, postgres_url: str, chain: LocalnetProcess, proxy: FaultProxy) -> None:
        self.chain = chain
        self.proxy = proxy
        self.api_url = f"http://127.0.0.1:{free_port()}"
        self._temporal_port = free_port()
        self._directory = directory
        self._settings = {
            "PERPDEX_DATA": str(directory),
            "DATABASE_URL": postgres_url,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self._temporal_port}",
            "SOLANA_RPC_URL": chain.url,
            "API_URL": self.api_url,
            "API_PORT": self.api_url.rsplit(":", 1)[1],
            "WEBSOCKET_PORT": str(free_port()),
            "SETTLEMENT_INTERVAL_S": "1",
            "OPERATOR_TOKEN": TOKEN,
        }
        self.temporal = self._process("temporal", self._temporal_command())
        self.api = self._process("api", [sys.executable, "-m", "cli.main", "serve", "api"])
        self.projector = self._process("projector", [sys.executable, "-m", "cli.main", "serve", "projector"])
        self.worker = self._process("worker", [sys.executable, "worker.py"], SOLANA_RPC_URL=proxy.url)
        self._agents: list[Process] = []
        self.operator = Signer.load_or_create(directory / "keys" / "operator.json")
        self.rpc = AsyncClient(chain.url)
        self.escrow = EscrowClient(self.rpc, PROGRAM_ID, self.operator.pubkey, USDC_MINT)
        self.pool = open_pool(postgres_url)
        self.ledger = Settlement(self.pool)
        self.queries = Queries(self.pool)
        self.door = EngineDoor(self.api_url, TOKEN)

    def _process(self, name: str, command: list[str], **settings: str) -> Process:
        return Process(command, self._directory / f"{name}.log", {**self._settings, **settings})

    def _temporal_command(self) -> list[str]:
        return [
            os.path.join(sysconfig.get_path("scripts"), "temporal"),
            *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._temporal_port)),
            *("--db-filename", str(self._directory / "temporal.db"), "--log-level", "error"),
            *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
            *("--search-attribute", "Batch=Keyword", "--search-attribute", "Agent=Keyword"),
        ]

    async def start(self) -> None:
        self.temporal.start()
        await self._initialize()
        self.client = await self._connected()
        self.api.start()
        await until(self._serves)
        self.projector.start()
        self.worker.start()

    async def stop(self) -> None:
        for process in (*self._agents, self.worker, self.projector, self.api, self.temporal):
            process.end()
        await self.door.close()
        await self.rpc.close()
        await self.pool.dispose()

    def trade(self, makers: int = 3, traders: int = 3) -> None:
        """Start agents that trade for ever."""
        for role, count in (("maker", makers), ("trader", traders)):
            command = [sys.executable, "-m", f"perpdex_sdk.agents.{role}", "--url", self.api_url]
            keys = str(self._directory / "agents")
            agents = self._process(f"{role}s", [*command, "--keys", keys, "--count", str(count)])
            agents.start()
            self._agents.append(agents)

    def rest(self) -> None:
        """End the agents."""
        while self._agents:
            self._agents.pop().end()

    async def settle(self) -> BatchReceipt:
        """A whole settlement round that begins and ends after this call."""
        async with asyncio.timeout(60):
            receipt = await self._settlement().execute_update(SettlementWorkflow.settle_now)
        assert receipt is not None
        return receipt

    async def fills(self) -> int:
        return (await self.queries.totals()).fills

    async def agree(self) -> None:
        """Settle, then compare engine, ledger and chain to the micro-unit: only while nobody trades.

        Prices move all the time, and positions with them, so nothing may be cut in between.
        """
        schedule = self.client.get_schedule_handle(SETTLEMENT_SCHEDULE)
        await schedule.pause()
        await self.settle()
        await until(self._is_idle)
        await self._compare()
        await schedule.unpause()

    async def _is_idle(self) -> bool:
        state = await self._settlement().query(SettlementWorkflow.state)
        assert not state.halted, state.halted
        return not state.due and state.started == state.finished

    def _settlement(self) -> WorkflowHandle[SettlementWorkflow, None]:
        return self.client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)

    async def _compare(self) -> None:
        batches = await self._final_batches()
        events = await self._events()
        _every_page_landed_once(batches, events)
        snapshot = await self.escrow.view.snapshot(FINALIZED)
        balances = {slot.account: slot.balance for page in snapshot.pages for slot in page.slots}
        assert balances == _expected(snapshot, batches, events)
        state, cut = await self.door.state(), await self.door.cut(len(batches))
        assert {one.account: one.equity for one in cut.accounts} == balances
        assert snapshot.vault == snapshot.promised == state.vault_expected
        assert state.conserved
        assert state.positions_zero_sum
        totals = await self.queries.totals()
        assert totals.total == 0
        assert totals.fills == totals.final_fills

    async def _final_batches(self) -> list[StoredBatch]:
        batches: list[StoredBatch] = []
        while stored := await self.ledger.load_batch(len(batches) + 1):
            assert stored.status == BatchStatus.FINAL
            batches.append(stored)
        return batches

    async def _events(self) -> list[Event]:
        """What the escrow logged, in all its transactions, oldest first."""
        before, signatures = None, []
        while page := (await self.rpc.get_signatures_for_address(self.escrow.addresses.escrow, before)).value:
            signatures += [one.signature for one in page if one.err is None]
            before = page[-1].signature
        events: list[Event] = []
        for signature in reversed(signatures):
            receipt = await self.escrow.view.receipt(str(signature))
            assert receipt is not None
            events += parse_events(receipt.logs, PROGRAM_ID)
        return events

    async def _initialize(self) -> None:
        await self.rpc.request_airdrop(self.operator.pubkey, 10**12)
        key = self.operator.pubkey
        build = self.escrow.build_initialize(
            self.operator,
            operator=key,
            guardian=key,
            treasury=Pubkey.new_unique(),
            insurance=Pubkey.new_unique(),
        )
        assert isinstance(await send_until(self.rpc, await build, FINALIZED, poll_s=0.02), Landed)

    async def _connected(self) -> Client:
        while True:
            try:
                return await Client.connect(
                    self._settings["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
                )
            except RuntimeError:
                await asyncio.sleep(0.1)

    async def _serves(self) -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{self.api_url}/health")).status_code == 200
        except httpx.TransportError:
            return False


def _every_page_landed_once(batches: list[StoredBatch], events: list[Event]) -> None:
    """Each page of each final batch was taken once, with the sums that were planned, under the batch's own root."""
    sealed = {event.root: event.id for event in events if isinstance(event, BatchSealed)}
    planned = []
    for batch in batches:
        for page in batch.pages:
            deltas = [delta for _, delta in decode_deltas(page.deltas)]
            debits = -sum(delta for delta in deltas if delta < 0)
            credits = sum(delta for delta in deltas if delta > 0)
            planned.append((sealed[batch.root], page.page, debits, credits))
    landed = [
        (event.id, event.page, event.debits, event.credits)
        for event in events
        if isinstance(event, PageSettled)
    ]
    assert sorted(landed) == sorted(planned)


def _expected(snapshot: EscrowSnapshot, batches: list[StoredBatch], events: list[Event]) -> dict[int, int]:
    """Balance of every account on chain: what it paid in, less what it took out, plus its planned deltas."""
    places = {(page.index, slot.index): slot.account for page in snapshot.pages for slot in page.slots}
    balances = dict.fromkeys(places.values(), 0)
    for event in events:
        if isinstance(event, Deposited | Withdrawn):
            balances[event.account] += event.amount if isinstance(event, Deposited) else -event.amount
    for batch in batches:
        for page in batch.pages:
            for slot, delta in decode_deltas(page.deltas):
                balances[places[page.page, slot]] += delta
    return balances


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Network]:
    """One network for all tests of a module, with agents that trade until a test has them rest."""
    if not PROGRAM_FILE.is_file():
        pytest.skip(f"the compiled escrow program is missing: {PROGRAM_FILE}")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create database network template migrated")
    directory = tmp_path_factory.mktemp("network")
    url = postgres.url.replace("/postgres?", "/network?")
    with LocalnetProcess(directory / "chain", slot_ms=SLOT_MS, finality=2) as chain:
        async with FaultProxy(chain.url) as proxy:
            network = Network(directory, url, chain, proxy)
            try:
                await network.start()
                yield network
            finally:
                await network.stop()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop database network with (force)")
