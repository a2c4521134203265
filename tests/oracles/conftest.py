"""Recorded data, where this checkout has it, and a real HTTP server to play it from."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

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
