"""A chain of one's own with the gold market: the contracts on a node that signs for whoever asks, as anvil does."""

import asyncio
from typing import Any, Final

from chain.evm.abi import Contract, load
from chain.evm.batch import MOCK_GOLD, id32
from chain.evm.node import Node
from chain.rpc import ChainUnavailable
from core.quantities import MicroUsdc

CHAIN_ID: Final = 31_337
FEED_DECIMALS: Final = 6
"""Prices are made in micro-USD."""
AGE_MAX_S: Final = 60
"""Of a price that the market trades at: several of those that are said."""
LEG_GAS: Final = 400_000
DEPLOY_GAS: Final = 5_000_000
WEI: Final = 10**20
"""What the executor has for gas."""
EVERYTHING: Final = 10**15
"""Micro-USDC: more than anybody is given, so no allowance is in the way."""
POOL: Final = 10**12
"""Micro-USDC in the market from which gains are paid."""
LOOK_S: Final = 0.05


class GoldChain:
    """`deploy` first. `executor` is the address that batches come from. Every call raises `ChainUnavailable`."""

    def __init__(self, node: Node, executor: str) -> None:
        self._node = node
        self._executor = executor
        self._round = 0
        self.router = ""

    async def deploy(self, price: int) -> None:
        """The contracts, with gold at a price in micro-USD and money for gains."""
        self._admin = str((await self._node.ask("eth_accounts"))[0])
        await self._node.ask("anvil_setBalance", self._executor, hex(WEI))
        self._token = await self._deployed("TestUsd", self._admin)
        self._feed = await self._deployed("TestFeed", self._admin, FEED_DECIMALS)
        await self.say(price)
        self.router = await self._deployed("Router", self._token, self._admin, 0)
        self._gold = await self._deployed("AdapterMockGold", self._token, self.router, self._feed, AGE_MAX_S)
        router = load("Router")
        for name, who in (("EXECUTOR", self._executor), ("REGISTRAR", self._admin)):
            role = router.answer(name, await self._node.call(self.router, router.call(name)))
            await self._sent(self.router, router.call("grantRole", role, who))
        adapter = router.call("setAdapter", id32(MOCK_GOLD), self._gold, LEG_GAS, EVERYTHING)
        await self._sent(self.router, adapter)
        await self._mint(self._gold, MicroUsdc(POOL))

    async def go_on(self) -> None:
        """From now on a block comes every second, and none sooner: a batch counts once some blocks lie on it."""
        await self._node.ask("evm_setAutomine", False)
        await self._node.ask("evm_setIntervalMining", 1)

    async def open_vault(self, amount: MicroUsdc) -> str:
        """The address of a new vault's contract with that much, of which everything may go to the market."""
        vault = await self._deployed("VaultAccount", self._token, self.router, self._admin, self._executor)
        await self._sent(vault, load("VaultAccount").call("setAllowance", self._gold, EVERYTHING))
        await self._mint(vault, amount)
        return vault

    async def say(self, price: int) -> None:
        """A new round of the feed, as of the newest block."""
        self._round += 1
        now = (await self._node.block()).time
        values = (self._round, price, now, now, self._round)
        await self._sent(self._feed, load("TestFeed").call("setRound", values))

    async def _mint(self, to: str, amount: MicroUsdc) -> None:
        await self._sent(self._token, load("TestUsd").call("mint", to, amount))

    async def _deployed(self, name: str, *args: Any) -> str:
        contract: Contract = load(name)
        return str((await self._sent(None, contract.deployment(*args)))["contractAddress"])

    async def _sent(self, to: str | None, data: bytes) -> dict[str, Any]:
        """The receipt of a transaction of the node's own account, once it is in a block."""
        request = {"from": self._admin, "data": "0x" + data.hex(), "gas": hex(DEPLOY_GAS)}
        name = await self._node.ask("eth_sendTransaction", request | ({"to": to} if to else {}))
        while (receipt := await self._node.ask("eth_getTransactionReceipt", name)) is None:
            await asyncio.sleep(LOOK_S)
        if receipt["status"] != "0x1":
            raise ChainUnavailable(f"the node let {name} fail: it is no chain for development")
        found: dict[str, Any] = receipt
        return found
