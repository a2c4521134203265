"""A real Temporal server, clients that encrypt, and the codec server as people reach it."""

import asyncio
import base64
import functools
import os
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from temporalio.client import Client
from temporalio.converter import DataConverter

from cli.codec import codec_app
from cli.ports import free_ports
from workflows.encryption import data_converter, read_payload_keys
from workflows.schedules import ensure_search_attributes

PATIENCE_S = 60
CODEC_TOKEN = "codec-token-of-the-tests-0123456789"
UI = "http://127.0.0.1:8233"
OPTIONS = [
    *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"),
    *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
]


@pytest.fixture
def temporal_command() -> str:
    return os.path.join(sysconfig.get_path("scripts"), "temporal")


@pytest.fixture
async def temporal(temporal_command: str) -> AsyncIterator[str]:
    """host:port of a server of this test's own."""
    [port] = free_ports(1)
    server = await asyncio.create_subprocess_exec(
        temporal_command, *OPTIONS, "--port", str(port), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        await server.wait()


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., Path]:
    """A file of payload keys with these ids, whose keys follow from them."""

    def write(*ids: str) -> Path:
        path = tmp_path / f"payload-{'-'.join(ids)}.keys"
        path.touch(mode=0o600)
        path.write_text(
            "".join(f"{id}:{base64.b64encode(id.encode().ljust(32, b'.')).decode()}\n" for id in ids)
        )
        return path

    return write


async def connected(address: str, converter: DataConverter) -> Client:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await Client.connect(address, data_converter=converter)
            except RuntimeError:
                await asyncio.sleep(0.05)


@pytest.fixture
def client_with(temporal: str) -> Callable[[Path | None], Awaitable[Client]]:
    """A client that converts as processes with that setting do."""

    async def connect(path: Path | None) -> Client:
        client = await connected(temporal, data_converter(path))
        await ensure_search_attributes(client)
        return client

    return connect


@pytest.fixture
def working_with(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[None]]:
    """Workers of any client; the fixture `working` has one client."""
    working: functools.partial[Any] = request.getfixturevalue("working")
    return lambda client, script: working.func(client, script)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> None:
    """None: these tests connect clients of their own."""


@pytest.fixture
def codec_server() -> Callable[[Path], AbstractAsyncContextManager[str]]:
    """The codec server over a file of keys; yields its address without the token."""

    @asynccontextmanager
    async def serve(path: Path) -> AsyncIterator[str]:
        app = codec_app(read_payload_keys(path), CODEC_TOKEN, [UI])
        server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = server.force_exit = True
        await serving

    return serve


@pytest.fixture
def codec_token() -> str:
    return CODEC_TOKEN


@pytest.fixture
def ui() -> str:
    return UI


@pytest.fixture
def histories() -> list[Path]:
    return sorted((Path(__file__).parents[1] / "histories").glob("*.json"))
