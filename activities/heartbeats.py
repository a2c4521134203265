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


async def pause(seconds: float, *details: Any) -> bool:
    """Beat with `details`, wait, and say whether to go on: False as soon as the worker is shutting down."""
    activity.heartbeat(*details)
    try:
        await asyncio.wait_for(activity.wait_for_worker_shutdown(), seconds)
    except TimeoutError:
        return True
    return False
