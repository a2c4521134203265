"""Every driver against its local venue, as the contract suite meets it; and recorded answers of the real ones.

A place is what the suite needs to know of a venue: an account with money, a symbol, sizes, and how its price is moved.
"""

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from eth_account import Account
from solders.keypair import Keypair

from core.tickets import PriceE8, SizeE8, e8_text, price_from, size_from
from venues.agents import Agents
from venues.driver import Driver, Mid
from venues.hyper import Hyper
from venues.local.hyperliquid import LocalHyperliquid
from venues.local.hyperliquid_actions import Deposit, Price
from venues.local.polymarket import LocalPolymarket
from venues.local.polymarket_books import MARKETS, Funded
from venues.local.serving import Door
from venues.local.synthetix import LocalSynthetix, Opened
from venues.mock_gold import MockGold
from venues.polymarket import Polymarket
from venues.synthetix import Synthetix

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

_spec = spec_from_file_location("exchange_fixtures", Path(__file__).parents[1] / "api" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_fixtures = module_from_spec(_spec)
sys.modules[_spec.name] = _fixtures
_spec.loader.exec_module(_fixtures)

new_exchange = _fixtures.new_exchange


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """A recorded file, or a skipped test."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.is_file():
            pytest.skip(f"the recorded data is not beside this checkout: {path}")
        return path

    return find


@pytest.fixture
def recorded(data_file: Callable[[str], Path]) -> Callable[[str], Any]:
    """A recorded answer of a venue, as JSON."""
    return lambda name: json.loads(data_file(name).read_text())


class Place(ABC):
    """A venue whose book is symmetric around a price that tests set."""

    symbol = "XAU"
    price: PriceE8 = price_from("4000")
    size: SizeE8 = size_from("1")
    """Fills at once at the price of the first levels."""
    most: SizeE8 = size_from("10000")
    """More than the whole book has."""
    odd: SizeE8 = SizeE8(1)
    """Finer than the venue's lot."""
    step: PriceE8 = price_from("1")
    """A price difference that is small and a multiple of the venue's tick."""
    spread = True
    """Who buys at once pays more than the middle."""
    rests = True
    """Orders of agents may wait in its book."""
    fills_whole = True
    """The venue knows fill-or-kill."""
    held: SizeE8 = SizeE8(0)
    """What the account has of the symbol from the start."""
    shorts = True
    """More may be sold than is held."""
    refuses_late = True
    """What arrives after its latest time is refused by the venue's own clock."""
    faults: "Faults | None" = None
    """None where nothing is between driver and venue."""

    @abstractmethod
    async def start(self) -> None:
        """Start the venue."""

    @abstractmethod
    async def open(self, clock: Callable[[], int] = time.time_ns) -> Driver:
        """One more driver of the same account."""

    @abstractmethod
    async def move(self, price: PriceE8) -> None:
        """Have the book stand around another price."""

    @abstractmethod
    async def end(self) -> None:
        """Stop the venue."""


class Gold(Place):
    """Here a price source is all that a test replaces."""

    refuses_late = False

    def __init__(self, directory: Path, new_exchange: Any) -> None:
        self.file = directory / "gold.db"
        self.drivers: list[Driver] = []

    async def start(self) -> None:
        """It is a file."""

    async def end(self) -> None:
        """Nothing runs."""

    async def source(self) -> Mid | None:
        return Mid(self.price, time.time_ns())

    async def open(self, clock: Callable[[], int] = time.time_ns, account: str = "vault-1") -> Driver:
        return MockGold(self.file, account, self.source, seed=7, clock=clock)

    async def move(self, price: PriceE8) -> None:
        self.price = price


class Faults:
    """How a local venue misbehaves next, asked for at its door, as a user would."""

    def __init__(self, door: Door) -> None:
        self.door = door

    async def ask(self, kind: str, times: int = 1) -> None:
        async with httpx.AsyncClient() as http:
            body = {"kind": kind, "times": times}
            answer = await http.post(f"{self.door.url}/control/misbehaviour", json=body)
            assert answer.status_code == 200, answer.text

    async def lose_reply(self) -> None:
        """Take the next order and never answer."""
        await self.ask("lose_reply")

    async def lose_request(self) -> None:
        """Answer nothing to the next order, and do not take it either."""
        await self.ask("lose_request")

    async def give_up_between(self) -> None:
        """Take the next order, and have something in between answer that it lost patience."""
        await self.ask("proxy_time_out")

    async def limit_rate(self) -> None:
        """Refuse the next order because there were too many."""
        await self.ask("rate_limit")

    async def go_down(self) -> None:
        """Answer nobody from now on."""
        await self.door.stop()


class HyperPlace(Place):
    symbol = "PAXG"
    size = size_from("0.5")
    most = size_from("500")
    fills_whole = False

    def __init__(self, directory: Path, new_exchange: Any) -> None:
        self.wallet = Account.from_key("0x" + "11" * 32)
        self.venue = LocalHyperliquid()
        self.faults = Faults(self.venue)

    async def start(self) -> None:
        await self.venue.start()
        await self.venue.do(Deposit(self.wallet.address, 10_000_000_000_000))

    async def open(self, clock: Callable[[], int] = time.time_ns) -> Driver:
        return Hyper(self.wallet, self.venue.url, clock, timeout_s=5)

    async def move(self, price: PriceE8) -> None:
        self.price = price
        await self.venue.do(Price(self.symbol, price))

    async def end(self) -> None:
        await self.venue.stop()


class SynthetixPlace(Place):
    refuses_late = False  # Its SDK counts the time that is left from its own clock.
    size = size_from("0.5")
    most = size_from("500")
    fills_whole = False

    def __init__(self, directory: Path, new_exchange: Any) -> None:
        self.key = "0x" + "31" * 32
        self.venue = LocalSynthetix()
        self.faults = Faults(self.venue)

    async def start(self) -> None:
        await self.venue.start()
        self.account = self.venue.do(Opened(Account.from_key(self.key).address, 10_000_000_000_000))

    async def open(self, clock: Callable[[], int] = time.time_ns) -> Driver:
        return Synthetix(self.key, int(self.account), f"{self.venue.url}/v1", clock, timeout_s=5)

    async def move(self, price: PriceE8) -> None:
        self.price = price
        self.venue.do(Price("XAU-USDT", price))

    async def end(self) -> None:
        await self.venue.stop()


class Proxy(Door):
    """Between an agent and the network, so that what is lost there can be lost here."""

    def __init__(self) -> None:
        super().__init__()
        self.behind: httpx.AsyncClient | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/api/{path:.*}", self.forward)]

    async def forward(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()

        async def act(kind: Any) -> web.StreamResponse:
            assert self.behind is not None
            kept = {
                name: request.headers[name]
                for name in ("Authorization", "Content-Type")
                if name in request.headers
            }
            answer = await self.behind.request(
                request.method, request.raw_path, content=content, headers=kept
            )
            return web.Response(
                status=answer.status_code, body=answer.content, content_type="application/json"
            )

        return await (
            self.answered(request, act)
            if request.path == "/api/v1/requests" and request.method == "POST"
            else act(None)
        )

    def misbehaves(self) -> None:
        """Nothing here lasts."""

    def too_many(self) -> web.StreamResponse:
        error = {"code": "rate_limited", "message": "Too many.", "retryable": True}
        return web.json_response({"error": error}, status=429)


class AgentsPlace(Place):
    symbol = "BTC-PERP"
    price = price_from("60000")
    size = size_from("0.5")
    most = size_from("101")
    rests = False
    account = "desk"

    def __init__(self, directory: Path, new_exchange: Any) -> None:
        self.new_exchange = new_exchange
        self.owner = Keypair()
        self.proxy = Proxy()
        self.faults = Faults(self.proxy)

    async def start(self) -> None:
        self.exchange = await self.new_exchange()
        self.maker = await self.exchange.maker()
        await self.exchange.agent(self.account, 5_000_000_000_000, self.owner)
        self.proxy.behind = self.exchange.http
        await self.proxy.start()

    async def open(self, clock: Callable[[], int] = time.time_ns) -> Driver:
        return Agents(self.proxy.url, self.owner, self.account, clock)

    async def move(self, price: PriceE8) -> None:
        self.price = price
        self.exchange.index(1, price // 10**7)
        bid, ask = (e8_text(PriceE8(price + away * 10**9)) for away in (-1, 1))
        answer = await self.maker.ask(
            op="quotes",
            id="moved",
            market=self.symbol,
            bids=[[bid, "100"]],
            asks=[[ask, "100"]],
            life_ms=60000,
        )
        assert answer["ev"] == "ack", answer

    async def end(self) -> None:
        await self.proxy.stop()


class PolymarketPlace(Place):
    symbol = MARKETS[0].tokens[0]
    price = price_from("0.5")
    size = size_from("100")
    most = size_from("20000")
    step = price_from("0.001")
    held = size_from("5000")
    shorts = False
    fills_whole = False

    def __init__(self, directory: Path, new_exchange: Any) -> None:
        self.key = "0x" + "51" * 32
        self.sent = directory / "sent.db"
        self.venue = LocalPolymarket()
        self.faults = Faults(self.venue)

    async def start(self) -> None:
        await self.venue.start()
        wallet = Account.from_key(self.key).address.lower()
        self.venue.do(Funded(wallet, wallet, 10_000_000_000_000, self.symbol, self.held))

    async def open(self, clock: Callable[[], int] = time.time_ns) -> Driver:
        url = self.venue.url
        return Polymarket(self.key, url, url, f"{url}/ws", self.sent, clock, timeout_s=5)

    async def move(self, price: PriceE8) -> None:
        self.price = price
        self.venue.do(Price(self.symbol, price))

    async def end(self) -> None:
        await self.venue.stop()


PLACES = {
    "agents": AgentsPlace,
    "hyper": HyperPlace,
    "mock_gold": Gold,
    "polymarket": PolymarketPlace,
    "synthetix": SynthetixPlace,
}


@pytest.fixture
def place_faults() -> Callable[..., Awaitable[None]]:
    """Has a local venue misbehave."""

    async def ask(door: Door, kind: str, times: int = 1) -> None:
        await Faults(door).ask(kind, times)

    return ask


@pytest.fixture(params=sorted(PLACES))
async def place(request: pytest.FixtureRequest, tmp_path: Path, new_exchange: Any) -> AsyncIterator[Place]:
    made = PLACES[request.param](tmp_path, new_exchange)
    await made.start()
    yield made
    await made.end()


@pytest.fixture
async def driver(place: Place) -> AsyncIterator[Driver]:
    opened = await place.open()
    yield opened
    await opened.close()
