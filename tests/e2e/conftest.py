"""The whole network as `perpdex up` starts it, on ports and a directory of its own."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cli.demo import PORTS
from cli.ports import free_ports
from cli.stack import Stack
from settings import Settings


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where PostgreSQL's own user can get at it, which it can not below pytest's."""
    path = Path(tempfile.mkdtemp(prefix="perpdex-e2e-"))
    path.chmod(0o755)
    yield path
    for link in path.rglob("elsewhere"):
        shutil.rmtree(link.resolve())
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def settings(directory: Path) -> Settings:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    return Settings(
        perpdex_data=directory / "data",
        api_url=f"http://127.0.0.1:{ports['api_port']}",
        pyth_url="",
        settlement_interval_s=6,
        **ports,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(settings: Settings) -> AsyncIterator[Stack]:
    """Started; parts that a test ended on purpose are its own business."""
    stack = Stack(settings, lambda line: print(f"{time.monotonic():.1f} {line}"))
    try:
        await asyncio.to_thread(stack.start)
        yield stack
    finally:
        await asyncio.to_thread(stack.stop)
