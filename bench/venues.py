"""From a ticket's order to the venue's acknowledgement, per driver against its local venue, next to the bare SDK's call.

python -m bench.venues [ORDERS]
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from hyperliquid.exchange import Exchange
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import OrderArgsV2
from synthetix import Synthetix as SynthetixSdk

from bench.disk import scratch
from bench.report import NOISE, milliseconds, percentile, table
from core.market import Side
from core.quantities import Nanos
from core.tickets import OrderType, TimeInForce, price_from, size_from
from venues.driver import Acknowledged, Driver, Mid, VenueOrder
from venues.hyper import Hyper
from venues.local.polymarket_books import MARKETS
from venues.mock_gold import MockGold
from venues.polymarket import Polymarket
from venues.synthetix import Synthetix

ORDERS: Final = 200
KEY: Final = "0x" + "51" * 32
ADDRESS: Final = Account.from_key(KEY).address
SIZE: Final = "0.1"
LIMITS: Final = {Side.BUY: "4100", Side.SELL: "3900"}

ABOUT: Final = """\
Orders that fill at once, one after another, buying and selling in turn, sent in turn by the driver and by the venue's own SDK with
the same key to the same local venue in a process of its own. Both sign for real and the venue checks it, so most of the time is
cryptography in Python on both sides; over a real network the way there comes on top of both. Polymarket's driver reads the book and
keeps what it signs on disk before it sends, which its SDK does not. Gold is a file, synced to disk for each order."""

Call = Callable[[int, Side], Awaitable[None]]


@contextmanager
def venue(name: str) -> Iterator[str]:
    """A local venue as a user starts it; its URL."""
    command = [sys.executable, "-m", "cli.main", "venues", "simulate", name, "--port", "0"]
    command += ["--account", f"{ADDRESS}:10000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def by_driver(driver: Driver, symbol: str, size: str = SIZE, limits: Mapping[Side, str] = LIMITS) -> Call:
    async def call(number: int, side: Side) -> None:
        order = VenueOrder(
            driver.client_id(f"bench/{number}"),
            symbol,
            side,
            size_from(size),
            OrderType.LIMIT,
            price_from(limits[side]),
            TimeInForce.IOC,
        )
        answer = await driver.submit(order)
        assert isinstance(answer, Acknowledged), answer

    return call


async def measure(calls: dict[str, Call], orders: int) -> dict[str, list[int]]:
    """Nanoseconds of each call; the first few of each are not counted."""
    taken: dict[str, list[int]] = {name: [] for name in calls}
    for number in range(-10, orders):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            await call(number, Side.BUY if number % 2 else Side.SELL)
            if number >= 0:
                taken[name].append(time.perf_counter_ns() - started)
    return taken


async def hyperliquid(orders: int) -> dict[str, list[int]]:
    with venue("hyperliquid") as url:
        sdk = Exchange(Account.from_key(KEY), url, timeout=10)

        async def bare(number: int, side: Side) -> None:
            terms: Any = {"limit": {"tif": "Ioc"}}
            answer = sdk.order("PAXG", side is Side.BUY, float(SIZE), float(LIMITS[side]), terms)
            assert "filled" in answer["response"]["data"]["statuses"][0], answer

        driver = Hyper(Account.from_key(KEY), url, time.time_ns)
        return await measure({"hyper": by_driver(driver, "PAXG"), "hyperliquid-python-sdk": bare}, orders)


async def synthetix(orders: int) -> dict[str, list[int]]:
    with venue("synthetix") as url:
        sdk = SynthetixSdk(KEY, rest_url=f"{url}/v1", ws_url=f"{url}/v1/ws", timeout=10)

        async def bare(number: int, side: Side) -> None:
            terms = {"order_type": "limitIoc"}
            answer = sdk.place_order(
                "XAU-USDT", "buy" if side is Side.BUY else "sell", SIZE, LIMITS[side], **terms
            )
            assert "filled" in answer["statuses"][0], answer

        driver = Synthetix(KEY, int(sdk.subaccount_id), f"{url}/v1", time.time_ns)
        return await measure({"synthetix": by_driver(driver, "XAU"), "synthetix-sdk": bare}, orders)


async def polymarket(orders: int) -> dict[str, list[int]]:
    size, limits = "10", {Side.BUY: "0.55", Side.SELL: "0.45"}
    token = MARKETS[0].tokens[0]
    with venue("polymarket") as url, scratch() as directory:
        sdk = ClobClient(url, 137, KEY)
        sdk.set_api_creds(sdk.create_or_derive_api_key())
        # Something to sell: nobody is short there.
        sdk.create_and_post_order(OrderArgsV2(token, float(limits[Side.BUY]), 100.0, "BUY"))

        async def bare(number: int, side: Side) -> None:
            order = OrderArgsV2(token, float(limits[side]), float(size), side.name)
            assert sdk.create_and_post_order(order)["status"] == "matched"

        driver = Polymarket(KEY, url, url, Path(directory) / "sent.db", time.time_ns)
        ours = by_driver(driver, token, size, limits)
        return await measure({"polymarket": ours, "py-clob-client-v2": bare}, orders)


async def gold(orders: int) -> dict[str, list[int]]:
    async def source() -> Mid:
        return Mid(price_from("4000"), Nanos(time.time_ns()))

    with scratch() as directory:
        driver = MockGold(Path(directory) / "gold.db", "bench", source, 1, time.time_ns)
        return await measure({"mock_gold": by_driver(driver, "XAU")}, orders)


async def main(orders: int) -> None:
    taken: dict[str, list[int]] = {}
    for place in (hyperliquid, synthetix, polymarket, gold):
        taken |= await place(orders)
    peers = {
        "hyper": "hyperliquid-python-sdk",
        "synthetix": "synthetix-sdk",
        "polymarket": "py-clob-client-v2",
    }
    rows = []
    for name, values in taken.items():
        peer = taken.get(peers.get(name, ""), [])
        ratio = f"{percentile(values, 0.5) / percentile(peer, 0.5):.2f}" if peer else ""
        rows.append(
            (name, milliseconds(percentile(values, 0.5)), milliseconds(percentile(values, 0.99)), ratio)
        )
    print(f"## From ticket to acknowledgement\n\n{ABOUT}\n")
    print(table(["", "p50 ms", "p99 ms", "p50 / its SDK's"], rows))
    print(f"\n{orders} orders each. {NOISE}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS))
