"""An exchange whose read side is the real ledger, with a projector that follows its journal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from api.history import History
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from matcher.tail import Tail


@pytest.fixture
async def projected(new_exchange: Any, postgres_url: str, tmp_path: Path) -> AsyncIterator[Any]:
    """An exchange whose read side is PostgreSQL, with the projector beside it."""
    pool = open_pool(postgres_url)
    journal = tmp_path / "journal"
    exchange = await new_exchange(journal, reads=History(Queries(pool)))
    projecting = asyncio.create_task(project(postgres_url, journal))
    yield exchange
    projecting.cancel()
    with suppress(asyncio.CancelledError):
        await projecting
    await pool.dispose()


async def project(url: str, journal: Path) -> None:
    projector = Projector(url)
    tail = Tail(journal, projector.sequence)
    try:
        while True:
            projector.apply(tail.read())
            await asyncio.sleep(0.02)
    finally:
        tail.close()
        projector.close()


async def until_projected(exchange: Any) -> None:
    """Wait until the ledger has all that the journal has."""
    for _ in range(500):
        ready = (await exchange.http.get("/ready")).json()
        if ready["projected"] == ready["seq"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the projector is behind: {ready}")


@pytest.fixture
def caught_up() -> Callable[[Any], Awaitable[None]]:
    return until_projected
