"""A local chain in a process of its own for each test, quick and with an escrow where asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from typer.testing import CliRunner

from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.bank import Bank
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.rpc import FINALIZED
from chain.send import Fate, Landed, send_until
from chain.transactions import SignedTransaction
from cli.main import app

POLL_S = 0.01


class Node:
    """A running chain and the calls that tests make of it."""

    def __init__(self, process: LocalnetProcess) -> None:
        self.process = process
        self.http = httpx.Client(timeout=10)

    @property
    def url(self) -> str:
        return self.process.url

    def raw(self, body: Any) -> Any:
        return self.http.post(self.url, json=body).json()

    def answer(self, method: str, *params: Any) -> Any:
        return self.raw({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def call(self, method: str, *params: Any) -> Any:
        answer = self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *params: Any) -> Any:
        return self.answer(method, *params)["error"]

    def funded(self, usdc: int = 0) -> KeypairSigner:
        """A new key with SOL, and with micro-USDC if asked for."""
        signer = KeypairSigner(Keypair())
        self.call("requestAirdrop", str(signer.pubkey), 10**12)
        if usdc:
            self.call("perpdexMintTestUsdc", str(signer.pubkey), usdc)
        return signer


class World:
    """An initialized escrow, its operator, and an agent with a slot and tokens."""

    def __init__(self, node: Node, client: AsyncClient, operator: KeypairSigner) -> None:
        self.node = node
        self.operator = operator
        self.escrow = EscrowClient(client, PROGRAM_ID, operator.pubkey, USDC_MINT)

    def through(self, client: AsyncClient) -> EscrowClient:
        """The same escrow by another way to the node."""
        return EscrowClient(client, PROGRAM_ID, self.operator.pubkey, USDC_MINT)

    async def fate(self, building: Awaitable[SignedTransaction], commitment: str = "confirmed") -> Fate:
        return await send_until(self.escrow.client, await building, commitment, poll_s=POLL_S)

    async def land(self, building: Awaitable[SignedTransaction], commitment: str = "confirmed") -> Landed:
        fate = await self.fate(building, commitment)
        assert isinstance(fate, Landed), fate
        return fate

    async def agent(self, account: int, usdc: int, page: int = 0) -> KeypairSigner:
        """An agent with a slot and micro-USDC in its wallet."""
        signer = self.node.funded(usdc)
        await self.land(self.escrow.build_open_account(self.operator, page, signer.pubkey, account))
        return signer


SHORT_LIMITS = Limits(
    hour_floor=1_000,
    day_floor=3_000,
    hour_share=10_000,
    day_share=100_000,
    exit_delay=1,
    timelock=3,
    loss_window=60,
    limit_delay=2,
)


def _initialized(world: World, limits: Limits) -> Awaitable[Landed]:
    key = world.operator.pubkey
    build = world.escrow.build_initialize(
        world.operator,
        operator=key,
        guardian=key,
        treasury=Pubkey.new_unique(),
        insurance=Pubkey.new_unique(),
        limits=limits,
    )
    return world.land(build, FINALIZED)


@pytest.fixture
def finality() -> int:
    """Slots until the chain takes back nothing any more."""
    return 2


@pytest.fixture
def process(tmp_path: Path, finality: int) -> Iterator[LocalnetProcess]:
    """Not started."""
    process = LocalnetProcess(tmp_path / "chain", slot_ms=20, finality=finality)
    yield process
    process.kill()


@pytest.fixture
def node(process: LocalnetProcess) -> Iterator[Node]:
    process.start()
    node = Node(process)
    yield node
    node.http.close()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[AsyncClient]:
    client = AsyncClient(node.url)
    yield client
    await client.close()


@pytest.fixture
def limits() -> Limits:
    """Of `world`; a file that needs others has its own."""
    return DEFAULT_LIMITS


@pytest.fixture
async def world(node: Node, client: AsyncClient, limits: Limits) -> World:
    world = World(node, client, node.funded())
    await _initialized(world, limits)
    return world


@pytest.fixture
def hasty_admin() -> Keypair:
    """Of `hasty`: its operator as well."""
    return Keypair()


@pytest.fixture
async def hasty(node: Node, client: AsyncClient, hasty_admin: Keypair) -> World:
    """A world whose delays are seconds and whose vault may pay 1,000 micro-USDC an hour."""
    node.call("requestAirdrop", str(hasty_admin.pubkey()), 10**12)
    world = World(node, client, KeypairSigner(hasty_admin))
    await _initialized(world, SHORT_LIMITS)
    return world


@pytest.fixture
def command(node: Node, tmp_path: Path) -> Callable[..., Awaitable[tuple[int, str]]]:
    """`perpdex` as a person runs it, in this process: exit code, and what it said. Keywords are settings."""
    settings = {
        "SOLANA_RPC_URL": node.url,
        "PERPDEX_DATA": str(tmp_path / "data"),
        "API_URL": "http://127.0.0.1:1",
    }

    async def run(*arguments: str, **given: str) -> tuple[int, str]:
        # In a thread, for every command runs a loop of its own.
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={**settings, **given})
        return done.exit_code, done.output

    return run


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """A chain in this process, whose slots advance by hand."""
    bank = Bank(tmp_path / "bank", finality=4)
    yield bank
    bank.close()


@pytest.fixture
def open_bank(tmp_path: Path) -> Callable[[], Bank]:
    return lambda: Bank(tmp_path / "bank", finality=4)
