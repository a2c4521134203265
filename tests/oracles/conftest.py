"""Recorded data, where this checkout has it, and a real HTTP server to play it from."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from core.quantities import MILLISECOND, SECOND
from oracles.chainlink import Aggregator, Chainlink
from oracles.feed import PriceFeed, pick
from oracles.hermes import Hermes
from oracles.index import Routed
from oracles.perp_mids import HyperliquidMids
from oracles.pyth_account import DISCRIMINATOR, RECEIVER, PythAccounts
from oracles.signers import anchored, trusted_now
from oracles.sources import Source
from oracles.vaa import SignerSet

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DATA = Path(__file__).parents[3] / "shared" / "data"


def recorded(path: str) -> Path:
    """A recorded file, or a skipped test."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"recording missing: {found}")
    return found


def load(path: str) -> Any:
    return json.loads(recorded(path).read_text())


@pytest.fixture
def data():
    return recorded


@pytest.fixture
def pyth():
    return lambda name: load(f"pyth/{name}.json")


@pytest.fixture
def hand_overs(pyth) -> list[bytes]:
    """The recorded ones that installed Wormhole's guardian sets 3 and 4."""
    return [bytes.fromhex(item["vaa_hex"]) for item in pyth("wormhole-guardian-set-upgrade-vaas")["items"]]


@pytest.fixture
def guardians(hand_overs) -> tuple[SignerSet, ...]:
    """Guardian set 3, as the recorded hand-over names it, and 4, to which it handed over."""
    three = anchored("guardians", hand_overs[0])
    return three, trusted_now(hand_overs[1:], three)


class Site:
    """A real HTTP server on a free port: `routes` are handlers by path, `asked` what came."""

    def __init__(self) -> None:
        self.routes: dict[str, Handler] = {}
        self.asked: list[web.Request] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.routes[request.path](request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    serving = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serving.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    host, port = runner.addresses[0][:2]
    serving.url = f"http://{host}:{port}"
    yield serving
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


class ChainlinkNode:
    """An EVM node with aggregators: encodes answers as a node does, says of which block it was asked what, and breaks as told.

    `broken` is by method, by function, or by (address, function): an HTTP status, a text, or a JSON value to answer with.
    """

    functions: ClassVar = {
        "0x" + keccak(text=f"{name}()")[:4].hex(): name
        for name in ("decimals", "description", "latestRoundData")
    }

    def __init__(self) -> None:
        self.head = {"number": 18_000_000, "timestamp": 0}
        self.asked: list[tuple[str, str]] = []
        self.broken: dict[object, object] = {}
        self._feeds: dict[str, tuple[str, tuple[int, ...]]] = {}

    def say(self, address: str, description: str, values: tuple[int, ...]) -> None:
        """What the aggregator at `address` answers."""
        self._feeds[address.lower()] = description, values

    async def handle(self, request: web.Request) -> web.Response:
        call = await request.json()
        method, params = call["method"], call["params"]
        name, address = method, ""
        if method == "eth_call":
            name, address = self.functions[params[0]["data"]], params[0]["to"].lower()
        self.asked.append((name, params[-1] if address else params[0]))
        broken = self.broken.get((address, name), self.broken.get(name))
        if isinstance(broken, int):
            return web.Response(status=broken)
        if broken is not None:
            return web.Response(text=broken if isinstance(broken, str) else json.dumps(broken))
        result = self._view(name, address) if address else self._of_chain(name)
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})

    def _of_chain(self, method: str) -> Any:
        if method == "eth_getCode":
            return "0x"
        return {key: hex(value) for key, value in self.head.items()}

    def _view(self, name: str, address: str) -> str:
        description, values = self._feeds[address]
        if name == "decimals":
            data = encode(["uint8"], [8])
        elif name == "description":
            data = encode(["string"], [description])
        else:
            data = encode(["uint80", "int256", "uint256", "uint256", "uint80"], values)
        return "0x" + data.hex()


@pytest.fixture
def chainlink_node() -> ChainlinkNode:
    return ChainlinkNode()


class Outside:
    """Hermes, an EVM node and Hyperliquid on one site, a clock that goes as it is read, and the feed they make."""

    btc = "BTC-PERP"
    pyth_feed = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"
    aggregator = "0xF4030086522a5bEEa4988F8cA5B36dbC97BeE88c"
    early = ("ton:HERMES_BTC_ETH_UPDATE", 1_724_826_310, 59_240)
    """A recorded update: its name, the second of its price of BTC, and that price in whole dollars."""
    late = ("ton:HERMES_UPDATE_10_PRICE_FEEDS", 1_754_339_204, 114_721)

    def __init__(self, site, http, node, pyth, guardians) -> None:
        self.node, self.site = node, site
        self.updates = {item["id"]: item["data"] for item in pyth("hermes-accumulator-updates")["items"]}
        self.now = 0
        self.up = {"hermes": True, "node": True, "venue": True}
        self.account = b""
        self.perp = "0"
        self.answers = 0
        site.routes |= {
            "/v2/updates/price/latest": self._hermes,
            "/v2/updates/price/stream": self._hermes,
            "/": self._node,
            "/info": self._venue,
            "/solana": self._solana,
        }
        self.hermes = Hermes(http, {self.btc: self.pyth_feed}, guardians, site.url)
        self.chainlink = Chainlink(
            http, site.url, {self.btc: Aggregator(self.aggregator, "BTC / USD", 3_600)}, self.clock
        )
        self.accounts = PythAccounts.of(http, f"{site.url}/solana", {self.btc: self.pyth_feed}, {})
        self.mids = HyperliquidMids(http, {self.btc: "BTC"}, self.clock, site.url)
        self.told: list[Routed] = []
        self.number = 0
        self.live_at(self.early)

    def clock(self) -> int:
        self.now += MILLISECOND  # no two answers are of one moment
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))

    def live_at(self, update: tuple[str, int, int]) -> None:
        """All say what the recorded update proves, a second after it."""
        self.update, second, dollars = update
        self.now = second * SECOND
        self.perp = f"{dollars}.5"
        self.chain_says(dollars)

    def perp_says(self, dollars: int | str) -> None:
        """Another mid, a second later: two prices of one moment would be one."""
        self.pass_by(1)
        self.perp = str(dollars)

    def chain_says(self, dollars: int) -> None:
        """A new round on a new block, a second later."""
        self.round(dollars * 10**8)

    def round(self, answer: int, ahead_s: int = 0) -> None:
        """The same with any answer, of any time."""
        self.pass_by(1)
        self.number += 1
        second = self.now // SECOND
        self.node.say(
            self.aggregator, "BTC / USD", (self.number, answer, second, second + ahead_s, self.number)
        )

    def account_says(self, price: int, exponent: int, confidence: int, ahead_s: int = 0) -> None:
        """Another update in Pyth's account, a second later; what a node serves there is checked by nobody."""
        self.pass_by(1)
        second = self.now // SECOND + ahead_s
        feed = bytes.fromhex(self.pyth_feed)
        message = struct.pack(
            "<32sqQiqqqQQ", feed, price, confidence, exponent, second, second, price, confidence, 1
        )
        self.account = DISCRIMINATOR + bytes(32) + b"\1" + message

    def pass_by(self, seconds: int) -> None:
        """Time goes on, and so does the chain, without a new round."""
        self.now += seconds * SECOND
        self.node.head |= {"number": self.node.head["number"] + 1, "timestamp": self.now // SECOND}

    async def _hermes(self, request: web.Request) -> web.StreamResponse:
        if not self.up["hermes"]:
            return web.Response(status=503)
        answer = json.dumps({"binary": {"encoding": "hex", "data": [self.updates[self.update]]}})
        if request.path.endswith("latest"):
            return web.Response(text=answer)
        return web.Response(text=f"data:{answer}\n\n")  # a stream that ends: it has to be opened again

    async def _node(self, request: web.Request) -> web.StreamResponse:
        return await self.node.handle(request) if self.up["node"] else web.Response(status=502)

    async def _venue(self, request: web.Request) -> web.StreamResponse:
        self.answers += 1
        # A market that trades: its mid is never quite the same, by less than a tick of ours.
        mids = {"BTC": str(Decimal(self.perp) + Decimal(self.answers % 2) / 1_000), "DOGE": "0.1"}
        return web.json_response(mids) if self.up["venue"] else web.Response(status=500)

    async def _solana(self, request: web.Request) -> web.StreamResponse:
        account = {"owner": str(RECEIVER), "data": [base64.b64encode(self.account).decode(), "base64"]}
        return web.json_response({"result": {"context": {"slot": 1}, "value": [account]}})

    async def lone_source(self) -> Source:
        """Pyth's accounts at a node and nobody beside them."""
        return await pick([self.btc], clock=self.clock, sleep=self.sleep, accounts=self.accounts)

    async def source(self) -> Source:
        return await pick(
            [self.btc],
            clock=self.clock,
            sleep=self.sleep,
            hermes=self.hermes,
            others=[self.chainlink, self.mids],
        )

    async def feed(self) -> PriceFeed:
        return PriceFeed(await self.source(), self.told.append, clock=self.clock, sleep=self.sleep)


@pytest.fixture
async def outside(site, http, chainlink_node, pyth, guardians) -> Outside:
    return Outside(site, http, chainlink_node, pyth, guardians)
