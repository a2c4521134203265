"""For SDKs that block: threads for their calls, and what their failures say about whether anything was sent."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

Answer = TypeVar("Answer")

# Shared by all accounts: calls wait for the network, and a thousand vaults must not have a thousand threads.
_THREADS: Final = ThreadPoolExecutor(32, thread_name_prefix="venues")


async def in_thread(call: Callable[[], Answer]) -> Answer:
    """The result of a call that blocks. One that is given up goes on: only its own time-out ends it."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


def never_sent(error: requests.RequestException) -> bool:
    """Whether there was no connection at all, so that the venue cannot have got anything."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
