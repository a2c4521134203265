"""Local venues in processes of their own, a node with Chainlink's gold, and a recorded day whose prices all of them have."""

import asyncio
import csv
import gzip
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiohttp import web

from cli.demo import PORTS
from cli.ports import free_ports
from cli.probes import connects
from core.quantities import MILLISECOND
from oracles.chainlink import MAINNET, XAU_USD
from settings import Settings

ROOT = Path(__file__).resolve().parents[3]
OHLCV = ROOT.parent / "shared" / "data" / "ohlcv"
GOLD_MONTHS = ROOT.parent / "shared" / "data" / "gold" / "gold-usd-monthly-1833-2010.csv"
DAY = "2024-08-05"
BARS = 96
E8 = 10**8
NOBODY = "0x" + "99" * 20
UP_S = 60.0
FOR_EVER = 1 << 63
SOL = 150 * E8
LOG_TAIL = 1_500
"""Characters of each process's log that a failed test shows."""

_spec = spec_from_file_location("oracle_fixtures", Path(__file__).parents[2] / "oracles" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_oracles = module_from_spec(_spec)
sys.modules[_spec.name] = _oracles
_spec.loader.exec_module(_oracles)


class Shown:
    """The prices of one symbol, each from when it was asked for until the next one was there for certain."""

    def __init__(self) -> None:
        self._moves: list[tuple[int, int, int]] = []

    def begins(self, price: int) -> None:
        self._moves.append((time.time_ns(), FOR_EVER, price))

    def has_begun(self) -> None:
        if len(self._moves) > 1:
            since, _, price = self._moves[-2]
            self._moves[-2] = since, time.time_ns(), price

    def at(self, instant: int) -> set[int]:
        """What could be seen then; instants of venues are cut to their milliseconds."""
        return {price for since, until, price in self._moves if since - MILLISECOND < instant <= until}


class LocalVenue:
    """`perpdex venues simulate` in a process of its own, whose books outlive it in a journal; may be killed and started again."""

    def __init__(self, kind: str, named: str, coin: str, port: int, directory: Path) -> None:
        """`named` is what the venue calls a symbol in requests, `coin` the one that is traded."""
        self.named, self.coin, self.shown = named, coin, Shown()
        self.journal = directory / f"{kind}.jsonl"
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._log = directory / f"{kind}.log"
        self._command = [sys.executable, "-m", "cli.main", "venues", "simulate", kind, "--port", str(port)]
        self._command += ["--account", f"{NOBODY}:1", "--journal", str(self.journal)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")])}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + UP_S
        while not connects(self._port):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """As by `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def move(self, price: int) -> None:
        """Have the house stand around another price."""
        self.shown.begins(price)
        await self.control("price", {self.named: self.coin, "price": _decimal(price)})
        self.shown.has_begun()

    async def misbehave(self, kind: str, times: int = 1) -> None:
        await self.control("misbehaviour", {"kind": kind, "times": times})

    async def behave(self) -> list[str]:
        """Take back everything that it was asked to do wrong; what it has not done yet."""
        async with httpx.AsyncClient(verify=False) as http:
            left = await http.get(f"{self.url}/control/misbehaviour")
            await http.delete(f"{self.url}/control/misbehaviour")
        return list(left.json()["next"])

    async def control(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the venue itself, as often as it takes: it may just have been killed."""
        async with httpx.AsyncClient(verify=False) as http:
            while True:
                try:
                    answer = await http.post(f"{self.url}/control/{path}", json=body)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                assert answer.is_success, answer.text
                return answer.json()


class Gold:
    """An Ethereum node with Chainlink's feeds, for gold and for where a venue does not say in time.

    No two rounds are of one second, so a price's instant says which round it was.
    """

    def __init__(self) -> None:
        self.node = _oracles.ChainlinkNode()
        self.rounds: dict[int, dict[str, int]] = {}
        self._second = 0
        self.url = ""

    def say(self, bar: dict[str, int]) -> None:
        """A new round of each feed at the prices, by venue, of a quarter of an hour."""
        self._second = max(self._second + 1, int(time.time()))
        self.rounds[self._second] = bar
        number = len(self.rounds)
        self.node.head |= {"number": 18_000_000 + number, "timestamp": self._second}
        prices = {"BTC-PERP": bar["hyper"], "ETH-PERP": bar["synthetix"], "SOL-PERP": SOL}
        feeds = {MAINNET[name]: price for name, price in prices.items()} | {XAU_USD: bar["mock_gold"]}
        for feed, price in feeds.items():
            values = (number, price, self._second, self._second, number)
            self.node.say(feed.address, feed.description, values)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes of a failed test said last."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("directory")
    if report.failed and directory is not None:
        for log in sorted(directory.rglob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-LOG_TAIL:]))
    return report


@pytest.fixture(scope="session")
def day() -> list[dict[str, int]]:
    """Prices in 1e-8 by venue, a quarter of an hour each, of a day on which everything fell.

    Bitcoin and ether are recorded and cut to what the venues count in. The token is worth what part of the way from the day's lowest
    to its highest bitcoin is at. Of gold there is no recorded day: the last 24 recorded months stand for its hours.
    """
    bitcoin, ether = (
        _closes(f"binance-usdm-{name}USDT-15m-2024-05-01_2025-01-31") for name in ("BTC", "ETH")
    )
    if not GOLD_MONTHS.exists():
        pytest.skip(f"recording missing: {GOLD_MONTHS}")
    with GOLD_MONTHS.open() as file:
        gold = [_e8(row["Price"]) for row in csv.DictReader(file)][-24:]
    low, high = min(bitcoin), max(bitcoin)
    return [
        {
            "hyper": bitcoin[bar] // E8 * E8,
            "synthetix": ether[bar] // 10**6 * 10**6,
            "polymarket": (10 + 80 * (bitcoin[bar] - low) // (high - low)) * 10**6,
            "mock_gold": gold[bar * 24 // BARS],
        }
        for bar in range(BARS)
    ]


def _closes(name: str) -> list[int]:
    path = OHLCV / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"recording missing: {path}")
    with gzip.open(path, "rt") as file:
        found = [_e8(row["close"]) for row in csv.DictReader(file) if row["time"].startswith(DAY)]
    assert len(found) == BARS
    return found


def _e8(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * E8 + int(rest.ljust(8, "0") or 0)


def _decimal(e8: int) -> str:
    return f"{e8 // E8}.{e8 % E8:08}".rstrip("0").rstrip(".")


@pytest.fixture(scope="module")
def local_venues(directory: Path) -> Iterator[dict[str, LocalVenue]]:
    """By the names that vaults know them by, started."""
    token = "21742633143463906290569050155826241533067272736897614950488156847949938836455"
    kinds = {
        "hyper": ("hyperliquid", "coin", "BTC"),
        "synthetix": ("synthetix", "symbol", "ETH-USDT"),
        "polymarket": ("polymarket", "token", token),
    }
    ports = free_ports(len(kinds))
    venues = {
        name: LocalVenue(*kind, port, directory)
        for (name, kind), port in zip(kinds.items(), ports, strict=True)
    }
    try:
        for venue in venues.values():
            venue.start()
        yield venues
    finally:
        for venue in venues.values():
            venue.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gold(day: list[dict[str, int]]) -> AsyncIterator[Gold]:
    """The node, which answers with the day's first prices."""
    found = Gold()
    found.say(day[0])
    app = web.Application()
    app.router.add_post("/", found.node.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}/"
    yield found
    await runner.cleanup()


@pytest.fixture(scope="module")
def settings(directory: Path, local_venues: dict[str, LocalVenue], gold: Gold) -> Settings:
    """Of a network whose vaults trade at these venues."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    polymarket = local_venues["polymarket"].url
    return Settings(
        perpdex_data=directory / "data",
        api_url=f"http://127.0.0.1:{ports['api_port']}",
        pyth_url="",
        settlement_interval_s=60,
        chainlink_rpc_url=gold.url,
        exec_allowed_venues="hyper,mock_gold,polymarket,synthetix",
        exec_hyper_url=local_venues["hyper"].url,
        exec_synthetix_url=f"{local_venues['synthetix'].url}/v1",
        exec_polymarket_url=polymarket,
        exec_polymarket_data_url=polymarket,
        exec_polymarket_stream_url=f"{polymarket}/ws",
        **ports,
    )
