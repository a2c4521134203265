"""A real EVM node (anvil) with the contracts deployed, behind a network that loses what it is told to lose."""

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from chain.evm.abi import Contract, load
from chain.evm.batch import ANY_PRICE_TO_BUY, ANY_PRICE_TO_SELL, Batch, GoldOrder, Leg
from chain.evm.key import EvmKey
from chain.evm.node import Node
from chain.evm.router import RouterClient
from chain.evm.sending import Attempt, Sender

CHAIN_ID = 31_337
GWEI = 10**9
LEG_GAS = 400_000
USD, OZ = 10**6, 10**8
SECRET = "0x" + "22" * 32
KEY = EvmKey(SECRET)


@pytest.fixture(scope="session")
def anvil_program() -> Path:
    name = os.environ.get("ANVIL", "")
    if not name:
        pytest.skip("ANVIL names no node: contracts/evm/check.sh brings one and runs these tests")
    return Path(name)


class Network(httpx.AsyncHTTPTransport):
    """What lies between client and node. Each look at the newest block lets a block pass, so that tests need no clock."""

    def __init__(self) -> None:
        super().__init__(verify=False)
        self.lose_after: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.before: Callable[[str], Any] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        method = body["method"]
        self.counted[method] += 1
        if method == "eth_getBlockByNumber" and body["params"][0] == "latest":
            if self.before is not None:
                await self.before("block")
            mine = {"jsonrpc": "2.0", "id": 0, "method": "evm_mine", "params": []}
            answer = await super().handle_async_request(httpx.Request("POST", request.url, json=mine))
            await answer.aread()
        response = await super().handle_async_request(request)
        if self.lose_after[method] > 0:
            self.lose_after[method] -= 1
            await response.aread()
            raise httpx.ReadTimeout("the answer is lost")
        return response


@dataclass
class Anvil:
    """The node, with a router, a gold market, and three vaults of 10,000 dollars whose operator is our key."""

    url: str
    network: Network
    direct: httpx.AsyncClient
    node: Node
    stored: list[Attempt] = field(default_factory=list)
    ids: int = 0

    async def rpc(self, method: str, *params: Any) -> Any:
        """Past the faults."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self.direct.post(self.url, json=body, timeout=10)).json()
        assert "error" not in answer, answer
        return answer["result"]

    async def begin(self) -> None:
        self.admin = (await self.rpc("eth_accounts"))[0]
        await self.rpc("anvil_setBalance", KEY.address, hex(10**20))
        self.token = await self.deploy(load("TestUsd"), self.admin)
        self.feed = await self.deploy(load("TestFeed"), self.admin, 8)
        self.router = await self.deploy(load("Router"), self.token, self.admin, 0)
        self.gold = await self.deploy(load("AdapterMockGold"), self.token, self.router, self.feed, 10**6)
        router = load("Router")
        for name in ("EXECUTOR", "REGISTRAR"):
            who = KEY.address if name == "EXECUTOR" else self.admin
            role = router.answer(name, await self.node.call(self.router, router.call(name)))
            await self.send(self.router, router.call("grantRole", role, who))
        await self.send(
            self.router,
            router.call("setAdapter", b"mock_gold".ljust(32, b"\0"), self.gold, LEG_GAS, 10**15),
        )
        now = int((await self.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
        await self.send(self.feed, load("TestFeed").call("setRound", (1, 2_000 * OZ, now, now, 1)))
        self.vaults: list[str] = []
        await self.open_vaults(3)

    async def open_vaults(self, count: int) -> None:
        """With 10,000 dollars each."""
        for _ in range(count):
            vault = await self.deploy(load("VaultAccount"), self.token, self.router, self.admin, KEY.address)
            await self.send(vault, load("VaultAccount").call("setAllowance", self.gold, 10**13))
            await self.send(self.token, load("TestUsd").call("mint", vault, 10_000 * USD))
            self.vaults.append(vault)

    async def deploy(self, contract: Contract, *args: Any) -> str:
        receipt = await self.send(None, contract.deployment(*args))
        return str(receipt["contractAddress"])

    async def send(self, to: str | None, data: bytes) -> Any:
        request = {"from": self.admin, "data": "0x" + data.hex(), "gas": hex(5_000_000)}
        name = await self.rpc("eth_sendTransaction", request | ({"to": to} if to else {}))
        await self.rpc("evm_mine")
        receipt = await self.rpc("eth_getTransactionReceipt", name)
        assert receipt["status"] == "0x1"
        return receipt

    def sender(self, *, fee_cap: int = 1_000 * GWEI, confirmations: int = 3, patience: int = 3) -> Sender:
        return Sender(
            self.node, KEY, CHAIN_ID, fee_cap, confirmations=confirmations, poll_s=0, patience=patience
        )

    def router_client(self, **how: int) -> RouterClient:
        return RouterClient(self.sender(**how), self.router)

    async def store(self, attempt: Attempt) -> None:
        self.stored.append(attempt)

    def leg(self, vault: int, size: int, cash_in: int, cash_out: int = 0) -> Leg:
        self.ids += 1
        limit = ANY_PRICE_TO_BUY if size > 0 else ANY_PRICE_TO_SELL
        order = GoldOrder(self.ids.to_bytes(32), size, limit, cash_out)
        return Leg("mock_gold", self.vaults[vault], cash_in, order.encoded())

    def batch(self, *legs: Leg, atomic: bool = False, deadline: int = 2**40) -> Batch:
        self.ids += 1
        return Batch(self.ids.to_bytes(32), deadline, atomic, legs)

    async def balance(self, address: str) -> int:
        token = load("TestUsd")
        return int(
            token.answer("balanceOf", await self.node.call(self.token, token.call("balanceOf", address)))
        )


@pytest.fixture
def executor_secret() -> str:
    return SECRET


@pytest.fixture
def anvil_url(anvil_program: Path, tmp_path: Path) -> Iterator[str]:
    # Into a file: a pipe that nobody reads would stop it.
    log = tmp_path / "log"
    command = [str(anvil_program), "--port", "0", "--no-mining", "--order", "fees", "--base-fee", str(GWEI)]
    with log.open("w") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        while not (found := re.search(r"^Listening on (\S+)", log.read_text(), re.M)):
            assert child.poll() is None, log.read_text()
            time.sleep(0.02)
        yield f"http://{found[1]}"
    finally:
        child.kill()
        child.wait()


@pytest.fixture
async def anvil(anvil_url: str) -> AsyncIterator[Anvil]:
    network = Network()
    async with httpx.AsyncClient(transport=network) as client, httpx.AsyncClient(verify=False) as direct:
        chain = Anvil(anvil_url, network, direct, Node(client, anvil_url))
        await chain.begin()
        yield chain
