"""The whole network in processes of its own, quick, with the worker's way to the chain through a proxy that breaks calls.

Accounts are spread over three pages, agents trade all the time, and Temporal asks workflows to start over after a short history: so
every batch settles several pages, and tests cross several runs of the settlement entity.
"""

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from solana.rpc.async_api import AsyncClient
from solders.pubkey import Pubkey
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from activities.engine_door import EngineDoor
from activities.schedules import SETTLEMENT_ID, SETTLEMENT_SCHEDULE
from activities.settlement import BatchReceipt
from chain.escrow import EscrowClient
from chain.events import Event
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from chain.transactions import SignedTransaction
from cli.ports import free_ports
from core.batches import BatchStatus
from fault_proxy import FaultProxy
from ledger.database import open_pool
from ledger.embedded import EmbeddedPostgres
from ledger.queries import Queries
from ledger.settlement import Settlement, StoredBatch
from matcher.commands import RegisterAgent
from perpdex_sdk.keys import key_at
from workflows.reconciliation import RECONCILIATION_SCHEDULE
from workflows.settlement import SettlementState, SettlementWorkflow
from workflows.settling import settle_now

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "operator-token-of-the-tests-0123456789"
PROVIDERS_KEY = "key-of-a-provider-0123456789"
"""In the address of the node, where providers have it: `secrecy` looks for it everywhere."""
SLOT_MS = 20
"""Blockhashes live three seconds."""
LONG_HISTORY = 150
"""Events after which Temporal suggests that a workflow starts over."""
AGENTS = {"maker": 2, "trader": 4}
PAGES = 3
LOG_TAIL = 1_500
"""Characters of each process's log that a failed test shows."""
PATIENCE_S = 150.0
"""Longest that anything may take on a busy machine."""


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

    def revive(self) -> None:
        """Start it again when it ended by itself, as an exchange that is too busy makes agents do."""
        if self._child is not None and self._child.poll() is not None:
            self.start()

    def send(self, what: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(what)

    def end(self) -> None:
        """In order when it obeys within half a minute."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(30)
            except subprocess.TimeoutExpired:
                self._child.kill()
            self._child.wait()
            self._child = None

    def kill(self) -> None:
        """At once, as a crash would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


class Network:
    """Everything but the agents. The proxy stands between the worker and the chain; all others go there directly."""

    def __init__(
        self,
        directory: Path,
        server: str,
        chain: LocalnetProcess,
        proxy: FaultProxy,
        settings: dict[str, str],
        limits: Limits,
    ) -> None:
        postgres_url = create_database(server)
        self._server = server
        self.chain = chain
        self.limits = limits
        self.proxy = proxy
        api, websocket, temporal = free_ports(3)
        self.api_url = f"http://127.0.0.1:{api}"
        self.directory = directory
        self.settings = {
            "PERPDEX_DATA": str(directory),
            "DATABASE_URL": postgres_url,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal}",
            "SOLANA_RPC_URL": f"{chain.url}/?api-key={PROVIDERS_KEY}",
            "PUBLIC_RPC_URL": chain.url,
            "API_URL": self.api_url,
            "API_PORT": str(api),
            "WEBSOCKET_PORT": str(websocket),
            # Seldom: a test that waits for batches has them made, and several networks share two processors.
            "SETTLEMENT_INTERVAL_S": "6",
            "OPERATOR_TOKEN": TOKEN,
            "PYTH_URL": "",
            **settings,
        }
        # Memory for processor time: several networks share two processors.
        self.temporal = self.process("temporal", self._temporal_command(), GOGC="400")
        self.api = self.process("api", [sys.executable, "-m", "cli.main", "serve", "api"])
        self.projector = self.process("projector", [sys.executable, "-m", "cli.main", "serve", "projector"])
        self._asked: asyncio.Task[None] | None = None
        """The round that is asked for. A call that is given up stays with the server, which takes few of them at one time."""
        self.worker = self.another_worker("worker")
        self.agents = [self._agents(role, count) for role, count in AGENTS.items()]
        self.operator = KeypairSigner.load_or_create(directory / "keys" / "operator.json")
        self.rpc = AsyncClient(chain.url)
        self.escrow = EscrowClient(self.rpc, PROGRAM_ID, self.operator.pubkey, USDC_MINT)
        self.pool = open_pool(postgres_url)
        self.ledger = Settlement(self.pool)
        self.queries = Queries(self.pool)
        self.door = EngineDoor(self.api_url, TOKEN)
        self.batches: dict[int, StoredBatch] = {}
        self.receipts: dict[str, tuple[Event, ...]] = {}

    def process(self, name: str, command: list[str], **settings: str) -> Process:
        return Process(command, self.directory / f"{name}.log", {**self.settings, **settings})

    def another_worker(self, name: str) -> Process:
        return self.process(
            name, [sys.executable, "worker.py"], SOLANA_RPC_URL=f"{self.proxy.url}/?api-key={PROVIDERS_KEY}"
        )

    def _agents(self, role: str, count: int) -> Process:
        command = [sys.executable, "-m", f"perpdex_sdk.agents.{role}", "--url", self.api_url]
        return self.process(
            f"{role}s", [*command, "--keys", str(self.directory / "agents"), "--count", str(count)]
        )

    def _temporal_command(self) -> list[str]:
        port = self.settings["TEMPORAL_ADDRESS"].rsplit(":", 1)[1]
        return [
            os.path.join(sysconfig.get_path("scripts"), "temporal"),
            *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port),
            *("--db-filename", str(self.directory / "temporal.db"), "--log-level", "error"),
            *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
            *("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={LONG_HISTORY}"),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
            *("--search-attribute", "Batch=Keyword", "--search-attribute", "Agent=Keyword"),
            *("--search-attribute", "Market=Keyword"),
        ]

    async def start(self) -> None:
        self.temporal.start()
        self.api.start()
        await self._initialize()
        self.client = await self._connected()
        await self.serves()
        await self._spread()
        self.projector.start()
        self.worker.start()
        for agents in self.agents:
            agents.start()

    async def stop(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
        for process in (*self.agents, self.worker, self.projector, self.api, self.temporal):
            process.kill()
        await self.door.close()
        await self.rpc.close()
        await self.pool.dispose()

    async def settle(self) -> BatchReceipt:
        """A whole settlement round that begins and ends after this call."""
        async with asyncio.timeout(PATIENCE_S):
            receipt = await settle_now(self.settlement())
        assert receipt is not None
        return receipt

    def settlement(self) -> WorkflowHandle[SettlementWorkflow, None]:
        return self.client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)

    async def state(self) -> SettlementState:
        async with asyncio.timeout(PATIENCE_S):
            return await self.settlement().query(SettlementWorkflow.state)

    async def settled(self, batches: int = 1) -> None:
        """So many more batches become final."""
        first, _ = await self.newest()

        async def final() -> bool:
            return await self.newest() >= (first + batches, BatchStatus.FINAL)

        await self.settling(final)

    async def settling(self, true: Callable[[], Awaitable[Any]]) -> None:
        """Settle one round after the other, whatever becomes of it, until `true`."""
        async with asyncio.timeout(PATIENCE_S):
            while not await true():
                if self._asked is None or self._asked.done():
                    if self._asked is not None:
                        self._asked.result()
                    self._asked = asyncio.create_task(self._round())
                await asyncio.sleep(0.1)

    async def _round(self) -> None:
        for agents in self.agents:
            agents.revive()
        # A halt, or Temporal being down, is what some tests are about: the next round is asked for as if nothing had been.
        with suppress(RPCError, WorkflowUpdateFailedError):
            await settle_now(self.settlement())

    async def newest(self) -> tuple[int, BatchStatus]:
        """The last cut's number and status."""
        return await self.ledger.last_cut() or (0, BatchStatus.MATCHED)

    async def quiet(self) -> None:
        """Settle what there is, and cut nothing more until `loud`."""
        await self.client.get_schedule_handle(SETTLEMENT_SCHEDULE).pause()
        await self.settle()

        async def idle() -> bool:
            state = await self.state()
            assert not state.halted, state.halted
            return not state.due and state.started == state.finished

        await until(idle)

    async def loud(self) -> None:
        await self.client.get_schedule_handle(SETTLEMENT_SCHEDULE).unpause()

    async def end_for_good(self, workflow_id: str) -> None:
        """End what runs for ever; the comparison of every minute, which would start it again, rests from then on."""
        await self.client.get_schedule_handle(RECONCILIATION_SCHEDULE).pause()
        await self.client.get_workflow_handle(workflow_id).terminate()

    async def land(self, building: Awaitable[SignedTransaction]) -> Landed:
        """Straight to the chain, and final."""
        fate = await send_until(self.rpc, await building, FINALIZED, poll_s=0.02)
        assert isinstance(fate, Landed), fate
        return fate

    async def lose_database(self) -> None:
        """An empty one takes its place."""
        await self.pool.dispose()
        create_database(self._server)

    async def give(self, owner: Pubkey, amount: int) -> None:
        """SOL and micro-USDC from the local chain's faucet."""
        async with httpx.AsyncClient() as http:
            for method, much in (("requestAirdrop", 10**9), ("perpdexMintTestUsdc", amount)):
                call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [str(owner), much]}
                assert "error" not in (await http.post(self.chain.url, json=call)).json()

    async def serves(self) -> None:
        """The API answers."""

        async def answers() -> bool:
            try:
                async with httpx.AsyncClient() as http:
                    return (await http.get(f"{self.api_url}/health")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answers)

    async def _initialize(self) -> None:
        await self.rpc.request_airdrop(self.operator.pubkey, 10**12)
        key = self.operator.pubkey
        build = self.escrow.build_initialize(
            self.operator,
            operator=key,
            guardian=key,
            treasury=Pubkey.new_unique(),
            insurance=Pubkey.new_unique(),
            limits=self.limits,
        )
        await self.land(build)
        for page in range(1, PAGES):
            await self.land(self.escrow.build_create_page(self.operator, page))

    async def _spread(self) -> None:
        """Give each agent a slot before the worker does, on one page after the other."""
        names = [f"{role}-{number + 1}" for role, count in AGENTS.items() for number in range(count)]
        for number, name in enumerate(names):
            owner = key_at(self.directory / "agents" / f"{name}.json").pubkey()
            registered = await self.door.command(RegisterAgent(str(owner), name))
            account = registered.event("AgentRegistered")["account"]
            await self.land(self.escrow.build_open_account(self.operator, number % PAGES, owner, account))

    async def _connected(self) -> Client:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await Client.connect(
                        self.settings["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
                    )
                except RuntimeError:
                    await asyncio.sleep(0.1)


def create_database(server: str) -> str:
    """A fresh one; its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("drop database if exists network with (force)")
        connection.execute("create database network template migrated")
    return server.replace("/postgres?", "/network?")


async def until(true: Callable[[], Awaitable[Any]], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes of a failed test's network said last."""
    report = yield
    network = getattr(item, "funcargs", {}).get("network")
    if report.failed and isinstance(network, Network):
        for log in sorted(network.directory.glob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-LOG_TAIL:]))
    return report


@pytest.fixture(name="until", scope="session")
def _until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture(scope="module")
def network_settings() -> dict[str, str]:
    """What the processes' environment has besides; tests in other folders have their own."""
    return {}


@pytest.fixture(scope="module")
def network_limits() -> Limits:
    """The escrow's; tests whose delays must pass have others."""
    return DEFAULT_LIMITS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(
    postgres: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    network_settings: dict[str, str],
    network_limits: Limits,
) -> AsyncIterator[Network]:
    """One network for all tests of a module, with agents that trade."""
    directory = tmp_path_factory.mktemp("network")
    with LocalnetProcess(directory / "chain", slot_ms=SLOT_MS, finality=2) as chain:
        async with FaultProxy(chain.url) as proxy:
            network = Network(directory, postgres.url, chain, proxy, network_settings, network_limits)
            try:
                await network.start()
                await network.settled()
                yield network
            finally:
                await network.stop()
