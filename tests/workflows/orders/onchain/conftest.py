"""Gold on chain for vaults' orders: the compiled contracts in a real EVM behind a chain's JSON-RPC, and the batches' worker.

The chain is that of the sender's tests, where transactions wait, are replaced and displaced; what they do is done by the contracts.
"""

import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pyrevm
import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from temporalio.client import Client
from temporalio.worker import Worker

from activities.gold_settlement import GoldSettlementActivities
from chain.evm.gold_market import GoldMarket
from chain.evm.key import EvmKey
from chain.evm.node import Node
from chain.evm.router import RouterClient
from chain.evm.sending import Sender
from core.tickets import price_from, size_from
from venues.mock_gold_evm import MockGoldEvm
from workflows.gold_door import GoldDoor
from workflows.gold_settlement import GOLD_SETTLEMENT, GoldBook, GoldSettlementWorkflow

EVM_TESTS = Path(__file__).parents[3] / "evm"


def _module(name: str, path: Path) -> Any:
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_world = _module("evm_world", EVM_TESTS / "conftest.py")
_sim = _module("evm_chain", EVM_TESTS / "client" / "conftest.py")

KEY = EvmKey("0x" + "22" * 32)
OZ = 10**8
GAS = 30_000_000
VAULTS = ("gold-fund", "other-fund")
QUEUE = "test-gold"


@dataclass
class GoldChain(_sim.SimChain):  # type: ignore[name-defined, misc]
    """Blocks of real time; `changes` are made at the beginning of the next block, `on_take` is asked before a transaction waits."""

    times: list[int] = field(default_factory=lambda: [int(time.time())])
    changes: dict[int, list[Callable[[Any], Any]]] = field(default_factory=lambda: defaultdict(list))
    on_take: Callable[[], None] = lambda: None
    down: bool = False

    def __post_init__(self) -> None:
        self.worlds: list[tuple[int, str, Any]] = []
        self.told: dict[str, list[tuple[str, bool, Any]]] = {}
        self.sent: dict[str, dict[str, Any]] = {}
        self.genesis = self.new_world()

    def new_world(self) -> Any:
        """As it was before the first block: every one is the same."""
        world = _world.World(vaults=len(VAULTS))
        world.send(_world.ADMIN, world.router, "grantRole", _world.role("EXECUTOR"), KEY.address)
        for owner, vault in zip(_world.OWNERS, world.vaults, strict=False):
            world.send(owner, vault, "setOperator", KEY.address)
        self.stand(world, 0)
        world.price(2_000 * OZ)
        return world

    def stand(self, world: Any, number: int) -> None:
        world.now, world.number = self.times[number], number
        world.evm.set_block_env(
            pyrevm.BlockEnv(number=number, timestamp=world.now, gas_limit=2**60, basefee=0)
        )

    def mine(self) -> None:
        super().mine()
        self.times.append(max(self.times[-1], int(time.time())))

    def next(self, change: Callable[[Any], Any]) -> None:
        """What happens on chain by others' doing, in the next block."""
        self.changes[len(self.blocks)].append(change)

    def owner(self, vault: int) -> str:
        return str(_world.OWNERS[vault])

    def price(self, answer: int, **changes: int) -> None:
        self.next(lambda world: world.price(answer, **changes))

    def world(self, number: int) -> Any:
        """Everything as it was in a block; the nearest that is known goes on from where it is."""
        known = [one for one in self.worlds if one[0] <= number and self.blocks[one[0]][0] == one[1]]
        begun = max(known, key=lambda one: one[0]) if known else (0, "", self.new_world())
        self.worlds = [one for one in self.worlds if one is not begun][-2:]
        for block in range(begun[0] + 1, number + 1):
            self.play(begun[2], block)
        self.worlds.append((number, self.blocks[number][0], begun[2]))
        return begun[2]

    def play(self, world: Any, number: int) -> None:
        self.stand(world, number)
        name, sent = self.blocks[number]
        told: list[tuple[str, bool, Any]] = []
        for place, change in enumerate(self.changes[number]):
            world.logs = []
            change(world)
            told.append((f"0x{place:064x}", True, world.logs))
        for one in sent:
            fields = self.sent[one.hash]
            try:
                to = "0x" + bytes(fields["to"]).hex()
                world.evm.message_call(one.sender, to, calldata=one.data, gas=fields["gas"])
                told.append((one.hash, True, world.evm.result.logs))
            except RuntimeError:
                told.append((one.hash, False, []))
            finally:
                world.evm.reset_transient_storage()
        self.told[name] = told

    def take(self, raw: bytes) -> str:
        before, self.on_take = self.on_take, lambda: None
        before()
        name: str = super().take(raw)
        self.sent[name] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        return name

    def logs(self, number: int) -> list[dict[str, Any]]:
        self.world(number)
        found = []
        for transaction, _, logs in self.told.get(self.blocks[number][0], []):
            found += [
                {
                    "address": log.address,
                    "topics": log.topics,
                    "data": "0x" + bytes(log.data[1]).hex(),
                    "blockNumber": hex(number),
                    "transactionHash": transaction,
                    "logIndex": hex(place),
                }
                for place, log in enumerate(logs)
            ]
        return found

    def respond(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("nobody listens")
        response: httpx.Response = super().respond(request)
        return response

    def answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_call":
                number = len(self.blocks) - 1 if params[1] == "latest" else int(params[1], 16)
                return "0x" + self.view(self.world(number), params[0]).hex()
            case "eth_getLogs":
                wanted = params[0]
                numbers = range(int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16) + 1)
                return [log for number in numbers for log in self.logs(number) if _fits(log, wanted)]
        found = super().answer(method, params)
        if method == "eth_getBlockByNumber" and found:
            found["timestamp"] = hex(self.times[int(found["number"], 16)])
        if method == "eth_getTransactionReceipt" and found:
            number = int(found["blockNumber"], 16)
            logs = [log for log in self.logs(number) if log["transactionHash"] == params[0]]
            done = {one: succeeded for one, succeeded, _ in self.told[found["blockHash"]]}
            found |= {"logs": logs, "status": "0x1" if done[params[0]] else "0x0"}
        return found

    def view(self, world: Any, call: dict[str, str]) -> bytes:
        before = world.evm.snapshot()
        try:
            sender, data = call.get("from", _world.STRANGER), bytes.fromhex(call["data"][2:])
            return bytes(world.evm.message_call(sender, call["to"], calldata=data, gas=GAS))
        except RuntimeError as error:
            raise _sim.RpcError("execution reverted", world.reverted(error).data) from None
        finally:
            world.evm.reset_transient_storage()
            world.evm.revert(before)

    def batches(self) -> list[int]:
        """How many legs each transaction of the key had that the router carried out."""
        self.world(len(self.blocks) - 1)
        router = self.genesis.interfaces[self.genesis.router]
        found = []
        for name, _ in self.blocks:
            for _, _, logs in self.told.get(name, []):
                events = [
                    router.event(log.address, [bytes.fromhex(one[2:]) for one in log.topics], log.data[1])
                    for log in logs
                    if log.address.lower() == self.genesis.router.lower()
                ]
                found += [
                    event.args["done"] + event.args["failed"]
                    for event in events
                    if event is not None and event.name == "BatchExecuted"
                ]
        return found


def _fits(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if log["address"].lower() != wanted["address"].lower():
        return False
    for topic, asked in zip(log["topics"], wanted["topics"], strict=False):
        if topic not in ([asked] if isinstance(asked, str) else asked):
            return False
    return len(log["topics"]) >= len(wanted["topics"])


class GoldPlace:
    """The venue as the desk meets it, and what a test does to it."""

    symbol = "XAU"
    size = size_from("1")
    price = price_from("2000")
    step = price_from("1")
    spread = False

    def __init__(self, client: Client, http: httpx.AsyncClient, chain: GoldChain) -> None:
        self.client = client
        self.chain = chain
        node = Node(http, "http://node")
        self.market = GoldMarket(node, chain.genesis.router)
        sender = Sender(node, KEY, _sim.CHAIN_ID, 100 * _sim.GWEI, poll_s=0.02)
        self.steps = GoldSettlementActivities(RouterClient(sender, chain.genesis.router), self.market)

    async def start(self) -> None:
        """The batches' workflow; its worker is the test's to run."""
        self.batches = await self.client.start_workflow(
            GoldSettlementWorkflow.run, GoldBook(0), id=GOLD_SETTLEMENT, task_queue=QUEUE
        )

    async def gather(self, period_s: int) -> None:
        """Begin anew with batches of so many seconds."""
        await self.batches.terminate()
        self.batches = await self.client.start_workflow(
            GoldSettlementWorkflow.run, GoldBook(period_s), id=GOLD_SETTLEMENT, task_queue=QUEUE
        )

    def worker(self) -> Worker:
        steps = self.steps
        return Worker(
            self.client,
            task_queue=QUEUE,
            workflows=[GoldSettlementWorkflow],
            activities=[
                steps.cover_gold_orders,
                steps.end_gold_batch,
                steps.find_gold_batch,
                steps.most_gold_orders,
                steps.sign_gold_batch,
                steps.watch_gold_batch,
            ],
        )

    async def open(
        self, vault: str = VAULTS[0], within_s: float = 10, clock: Callable[[], int] = time.time_ns
    ) -> MockGoldEvm:
        """The driver of a vault; one that waits for `within_s` when it places something."""
        account = self.chain.genesis.vaults[VAULTS.index(vault)]
        door = GoldDoor(self.client, MockGoldEvm.venue, within_s)
        return MockGoldEvm(account, self.market, door, 0, clock)

    def balance(self, vault: str) -> int:
        """Micro-USDC in a vault's contract."""
        world = self.chain.world(len(self.chain.blocks) - 1)
        return int(world.balance(world.vaults[VAULTS.index(vault)]))

    async def end(self) -> None:
        await self.batches.terminate()


@pytest.fixture
def chain() -> GoldChain:
    return GoldChain()


@pytest.fixture
async def desk(environment: Any, client: Client, desk_of: Any, chain: GoldChain) -> AsyncIterator[Any]:
    """Two vaults with 10,000 dollars each in their contracts, and both workers, in real time."""
    async with AsyncExitStack() as stack:
        transport = httpx.MockTransport(chain.respond)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
        stack.enter_context(environment.auto_time_skipping_disabled())
        place = GoldPlace(client, http, chain)
        opened = await desk_of(MockGoldEvm.venue, place, place.open, VAULTS)
        await stack.enter_async_context(opened.worker())
        await stack.enter_async_context(place.worker())
        yield opened


@pytest.fixture
def other() -> str:
    return VAULTS[1]


@pytest.fixture
def foreign() -> Callable[..., bytes]:
    """A transaction that the same key signed elsewhere."""

    def made(chain: GoldChain, nonce: int) -> bytes:
        fields = {
            "type": 2,
            "chainId": _sim.CHAIN_ID,
            "nonce": nonce,
            "to": bytes.fromhex(chain.genesis.router[2:]),
            "data": b"",
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 90 * _sim.GWEI,
            "maxPriorityFeePerGas": 90 * _sim.GWEI,
        }
        return KEY.sign(fields)[0]

    return made
