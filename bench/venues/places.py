"""The venues that are measured: each a local one in a process of its own, with two accounts, one driver of ours and the venue's SDK.

The worker trades with one account of each venue, the bare driver and the SDK with the other, so that neither is told of the other's
fills.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from hyperliquid.exchange import Exchange
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import OrderArgsV2
from solders.keypair import Keypair
from synthetix import Synthetix as SynthetixSdk

from bench.gateway.agents import entered, operator_at
from bench.gateway.processes import started
from cli.ports import free_ports
from core.market import Side
from core.quantities import Nanos
from core.tickets import Leg, price_from
from perpdex_sdk import Agent
from perpdex_sdk.errors import NotSent
from venues.agents import Agents
from venues.driver import Driver, Mid
from venues.hyper import Hyper
from venues.local.polymarket_books import MARKETS
from venues.mock_gold import MockGold
from venues.polymarket import Polymarket
from venues.synthetix import Synthetix

VAULT: Final = "bench"
OWN_KEY: Final = "0x" + "51" * 32
VAULT_KEY: Final = "0x" + "52" * 32
MONEY: Final = 10_000_000
GOLD_PRICE: Final = "4000"
INDEX: Final = 60_000
QUOTES_EVERY_S: Final = 5
GOLD_SETTINGS: Final = 4
"""Lines that the chain says, each a setting."""

SdkCall = Callable[[Side], Awaitable[None]]


@dataclass(frozen=True)
class Place:
    """One venue under measurement. `settings` is what the worker must be told of it, `files` what it finds in its keys' directory.

    `stock` is what must be bought before anything can be sold. Without a `driver` orders are gathered: they are acknowledged when they
    wait for their batch, and nothing but the worker brings them there.
    """

    leg: Leg
    size: str
    limits: Mapping[Side, str]
    driver: Driver | None
    sdk_name: str = ""
    sdk: SdkCall | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    stock: str = ""


@contextmanager
def local(name: str) -> Iterator[str]:
    """A local venue as a user starts it, with money in both accounts; its URL."""
    command = [sys.executable, "-m", "cli.main", "venues", "simulate", name, "--port", "0"]
    for key in (OWN_KEY, VAULT_KEY):
        command += ["--account", f"{Account.from_key(key).address}:{MONEY}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def hyperliquid() -> AsyncIterator[Place]:
    leg, size, limits = Leg("hyper", "PAXG"), "0.1", {Side.BUY: "4100", Side.SELL: "3900"}
    with local("hyperliquid") as url:
        sdk = Exchange(Account.from_key(OWN_KEY), url, timeout=10)

        async def bare(side: Side) -> None:
            terms: Any = {"limit": {"tif": "Ioc"}}
            answer = sdk.order(leg.symbol, side is Side.BUY, float(size), float(limits[side]), terms)
            assert "filled" in answer["response"]["data"]["statuses"][0], answer

        driver = Hyper(Account.from_key(OWN_KEY), url, time.time_ns)
        settings, files = {"EXEC_HYPER_URL": url}, {"hyper": VAULT_KEY}
        yield Place(leg, size, limits, driver, "hyperliquid-python-sdk", bare, settings, files)
        await driver.close()


@asynccontextmanager
async def synthetix() -> AsyncIterator[Place]:
    leg, size, limits = Leg("synthetix", "XAU"), "0.1", {Side.BUY: "4100", Side.SELL: "3900"}
    with local("synthetix") as url:
        urls: Any = {"rest_url": f"{url}/v1", "ws_url": f"{url}/v1/ws", "timeout": 10}
        sdk, vaults = SynthetixSdk(OWN_KEY, **urls), SynthetixSdk(VAULT_KEY, **urls)

        async def bare(side: Side) -> None:
            terms: Any = {"order_type": "limitIoc"}
            way = "buy" if side is Side.BUY else "sell"
            answer = sdk.place_order("XAU-USDT", way, size, limits[side], **terms)
            assert "filled" in answer["statuses"][0], answer

        driver = Synthetix(OWN_KEY, int(sdk.subaccount_id), f"{url}/v1", time.time_ns)
        settings = {"EXEC_SYNTHETIX_URL": f"{url}/v1"}
        files = {"synthetix": VAULT_KEY, "synthetix.account": str(vaults.subaccount_id)}
        yield Place(leg, size, limits, driver, "synthetix-sdk", bare, settings, files)
        await driver.close()


@asynccontextmanager
async def polymarket(directory: Path) -> AsyncIterator[Place]:
    leg, size = Leg("polymarket", MARKETS[0].tokens[0]), "10"
    limits, stock = {Side.BUY: "0.55", Side.SELL: "0.45"}, "100"
    with local("polymarket") as url:
        sdk = ClobClient(url, 137, OWN_KEY)
        sdk.set_api_creds(sdk.create_or_derive_api_key())
        # Something to sell: nobody is short there.
        sdk.create_and_post_order(OrderArgsV2(leg.symbol, float(limits[Side.BUY]), float(stock), "BUY"))

        async def bare(side: Side) -> None:
            order = OrderArgsV2(leg.symbol, float(limits[side]), float(size), side.name)
            assert sdk.create_and_post_order(order)["status"] == "matched"

        stream = f"{url}/ws"
        driver = Polymarket(OWN_KEY, url, url, stream, directory / "sent.db", time.time_ns)
        settings = {
            "EXEC_POLYMARKET_URL": url,
            "EXEC_POLYMARKET_DATA_URL": url,
            "EXEC_POLYMARKET_STREAM_URL": stream,
        }
        files = {"polymarket": VAULT_KEY}
        yield Place(leg, size, limits, driver, "py-clob-client-v2", bare, settings, files, stock)
        await driver.close()


@asynccontextmanager
async def gold(directory: Path) -> AsyncIterator[Place]:
    async def source() -> Mid:
        return Mid(price_from(GOLD_PRICE), Nanos(time.time_ns()))

    driver = MockGold(directory / "gold.db", "own", source, 1, time.time_ns)
    limits = {Side.BUY: "4100", Side.SELL: "3900"}
    yield Place(Leg("mock_gold", "XAU"), "0.1", limits, driver, settings={"EXEC_DEMO_GOLD": GOLD_PRICE})


def anvil() -> str | None:
    """The program of a chain on this machine, where there is one."""
    return os.environ.get("ANVIL") or shutil.which("anvil")


@contextmanager
def chain(directory: Path) -> Iterator[dict[str, str]]:
    """A chain of anvil's as a user starts it: what the worker must be told of it. The vault's contract it writes down itself."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "cli.main", "venues", "simulate", "gold-chain"]
    command += ["--vault", f"{VAULT}:{MONEY}", "--port", str(port), "--anvil", str(anvil())]
    environment = os.environ | {"PERPDEX_DATA": str(directory / "data")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().strip().split("=", 1) for _ in range(GOLD_SETTINGS)]
        # Which venues are allowed the desk says.
        yield {name: value for name, value in said if name != "EXEC_ALLOWED_VENUES"}
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def gold_on_chain(directory: Path) -> AsyncIterator[Place]:
    limits = {Side.BUY: "8000", Side.SELL: "2000"}
    with chain(directory) as settings:
        yield Place(Leg("mock_gold_evm", "XAU"), "0.1", limits, None, settings=settings)


@asynccontextmanager
async def network(directory: Path) -> AsyncIterator[Place]:
    """This network: engine, journal and API as a process of its own, one maker that stands on both sides."""
    leg, size, limits = Leg("agents", "BTC-PERP"), "0.1", {Side.BUY: "60010", Side.SELL: "59990"}
    (directory / "journal").mkdir()
    own, vaults = Keypair(), Keypair()
    async with AsyncExitStack() as stack:
        at = stack.enter_context(started("bench.gateway.exchange", str(directory / "journal")))
        operator = await stack.enter_async_context(operator_at(at["http"]))
        await entered(operator, at["http"], own, "own")
        await entered(operator, at["http"], vaults, VAULT)
        stands = Keypair()
        await entered(operator, at["http"], stands, "maker")
        maker = await Agent.connect(at["http"], stands, "maker")
        stack.push_async_callback(maker.close)
        await quote(maker, leg.symbol)
        quoting = asyncio.create_task(keep_quoting(maker, leg.symbol))
        stack.push_async_callback(_ended, quoting)
        sdk = await Agent.connect(at["http"], own, "own")
        stack.push_async_callback(sdk.close)

        async def bare(side: Side) -> None:
            answer = await sdk.request(leg.symbol, "buy" if side is Side.BUY else "sell", size, limits[side])
            assert answer.outcome == "filled", answer

        driver = Agents(at["http"], own, "own", time.time_ns)
        stack.push_async_callback(driver.close)
        settings, files = {"API_URL": at["http"]}, {"agents": vaults.to_json()}
        yield Place(leg, size, limits, driver, "perpdex-sdk", bare, settings, files)


async def quote(maker: Agent, symbol: str) -> None:
    """Stand on both sides for a minute."""
    bids, asks = (((f"{INDEX + away}", "1000"),) for away in (-1, 1))
    await maker.quotes(symbol, bids, asks, life_ms=60_000)


async def keep_quoting(maker: Agent, symbol: str) -> None:
    while True:
        await asyncio.sleep(QUOTES_EVERY_S)
        try:
            await quote(maker, symbol)
        except NotSent as away:
            # Other venues' SDKs hold this loop up, and the connection may break by it: it is made anew.
            print(f"  the maker is not connected: {away}", file=sys.stderr, flush=True)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def all_places(directory: Path) -> AsyncIterator[list[Place]]:
    """Every venue that there can be on this machine, open."""
    openings = [network(directory), hyperliquid(), synthetix(), polymarket(directory), gold(directory)]
    if anvil() is not None:
        openings.append(gold_on_chain(directory))
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opening) for opening in openings]
