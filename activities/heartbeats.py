"""Telling Temporal that an activity is alive while it waits for something slow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from temporalio import activity

EVERY_S: Final = 1.0
"""Well inside every heartbeat timeout in `workflows`."""


@asynccontextmanager
async def heartbeats(*details: Any) -> AsyncIterator[None]:
    """Beat with `details` in the background until the block ends."""

    async def beat() -> None:
        while True:
            activity.heartbeat(*details)
            await asyncio.sleep(EVERY_S)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


async def pause(seconds: float, *details: Any, until: asyncio.Event | None = None) -> bool:
    """Beat with `details`, wait, not beyond `until`, and say whether to go on: False as soon as the worker is shutting down."""
    activity.heartbeat(*details)
    over = asyncio.ensure_future(activity.wait_for_worker_shutdown())
    ends: set[asyncio.Future[Any]] = {over}
    if until is not None:
        ends.add(asyncio.ensure_future(until.wait()))
    try:
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not over.done()
    finally:
        for end in ends:
            end.cancel()
