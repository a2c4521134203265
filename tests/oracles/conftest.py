"""Recorded data, where this checkout has it, and a real HTTP server to play it from."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from oracles.signers import anchored, trusted_now
from oracles.vaa import SignerSet

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DATA = Path(__file__).parents[3] / "shared" / "data"


def recorded(path: str) -> Path:
    """A recorded file, or a skipped test."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"the recorded data is not beside this checkout: {found}")
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
