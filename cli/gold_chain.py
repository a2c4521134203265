"""`perpdex venues simulate gold-chain`: the gold market on an EVM chain of this machine, for tickets to `mock_gold_evm`."""

import asyncio
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

from chain.evm.key import EvmKey
from chain.evm.node import Node
from chain.rpc import ChainUnavailable
from core.quantities import MicroUsdc, Nanos
from endings import NotReachable, told_to_stop
from oracles.generator import price_at
from settings import Settings
from trading import GOLD_EVM, account_file
from venues.local.gold_chain import CHAIN_ID, GoldChain

PRICE_EVERY_S: Final = 5.0
UP_S: Final = 15.0
ASK_AGAIN_S: Final = 0.1
GWEI: Final = 10**9


async def run(settings: Settings, anvil: Path | None, port: int, vaults: Mapping[str, MicroUsdc]) -> None:
    """Start anvil, deploy, name the vaults' contracts to the network's worker, and say prices until told to stop.

    Raises `NotReachable` when there is no anvil or it does not answer, and `KeyFileRefused`.
    """
    program = anvil or shutil.which("anvil")
    if program is None:
        raise NotReachable("There is no anvil: install Foundry, or name its program with --anvil or ANVIL.")
    stopped = told_to_stop()
    executor = EvmKey.load_or_create(settings.perpdex_data / "keys" / "evm-executor.key").address
    async with httpx.AsyncClient() as http, _node(str(program), port, http) as node:
        chain = GoldChain(node, executor)
        await chain.deploy(_price(settings))
        for name, amount in vaults.items():
            _name(settings, name, await chain.open_vault(amount))
        await chain.go_on()
        _say(settings, port, chain.router)
        while not stopped.is_set():
            await chain.say(_price(settings))
            try:
                async with asyncio.timeout(PRICE_EVERY_S):
                    await stopped.wait()
            except TimeoutError:
                continue


@asynccontextmanager
async def _node(anvil: str, port: int, http: httpx.AsyncClient) -> AsyncIterator[Node]:
    """A new chain, which ends with this process. Raises `NotReachable`."""
    options = ("--port", str(port), "--chain-id", str(CHAIN_ID), "--base-fee", str(GWEI), "--silent")
    try:
        child = await asyncio.create_subprocess_exec(anvil, *options, stdin=DEVNULL, stdout=DEVNULL)
    except OSError as error:
        raise NotReachable(f"{anvil} cannot be run ({error.strerror}).") from None
    try:
        node = Node(http, f"http://127.0.0.1:{port}")
        await _answers(node, child)
        try:
            yield node
        except ChainUnavailable as silent:
            raise NotReachable(f"anvil does not answer any more: {silent}") from None
    finally:
        # Ctrl-C at a terminal has told it, too.
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def _answers(node: Node, child: Process) -> None:
    deadline = time.monotonic() + UP_S
    while True:
        if child.returncode is not None:
            raise NotReachable(f"anvil has ended (status {child.returncode}): is its port in use?")
        try:
            await node.chain_id()
            return
        except ChainUnavailable as silent:
            if time.monotonic() > deadline:
                raise NotReachable(f"anvil does not answer: {silent}") from None
        await asyncio.sleep(ASK_AGAIN_S)


def _price(settings: Settings) -> int:
    return price_at(settings.price_seed, "XAU", Nanos(time.time_ns()))


def _name(settings: Settings, vault: str, address: str) -> None:
    """Where orders look for it; what stood there is told, because it may have been of a chain that goes on."""
    path = account_file(settings, GOLD_EVM, vault)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        print(f"{path} named {path.read_text().strip()} until now", file=sys.stderr)
    path.write_text(f"{address}\n")


def _say(settings: Settings, port: int, router: str) -> None:
    venues = settings.exec_allowed_venues
    if GOLD_EVM not in venues.split(","):
        venues = f"{venues},{GOLD_EVM}"
    print(f"EVM_RPC_URL=http://127.0.0.1:{port}")
    print(f"EVM_CHAIN_ID={CHAIN_ID}")
    print(f"EVM_ROUTER={router}")
    print(f"EXEC_ALLOWED_VENUES={venues}", flush=True)
