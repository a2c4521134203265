"""Polymarket's stream of one account, for what it is good for: to say that something happened."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import aiohttp
from py_clob_client_v2.clob_types import ApiCreds

from venues.errors import Unavailable

PAUSE_S: Final = 1.0
PING_S: Final = 10.0
"""The venue closes connections from which it hears nothing."""


async def stirs(url: str, entered: Callable[[], Awaitable[ApiCreds]]) -> AsyncIterator[None]:
    """Yields when something may have happened to the account: an order's change, a trade's, or a connection that was made anew.

    What it was, cursors tell: a stream loses messages and tells them twice.
    """
    while True:
        try:
            async for _ in _stream(url, await entered()):
                yield
        except (aiohttp.ClientError, OSError, Unavailable):
            pass
        await asyncio.sleep(PAUSE_S)


async def _stream(url: str, credentials: ApiCreds) -> AsyncIterator[None]:
    auth = {
        "apiKey": credentials.api_key,
        "secret": credentials.api_secret,
        "passphrase": credentials.api_passphrase,
    }
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/user") as socket:
        await socket.send_json({"auth": auth, "markets": [], "type": "user"})
        # The venue tells nothing of what was before.
        yield
        while not socket.closed:
            try:
                message = await socket.receive(timeout=PING_S)
            except TimeoutError:
                await socket.send_str("PING")
                continue
            if message.type is aiohttp.WSMsgType.TEXT and _is_news(message.data):
                yield


def _is_news(text: str) -> bool:
    """Whether a message is about an order or a trade, and not the answer to a ping. It may be one or a list."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    told = said if isinstance(said, list) else [said]
    return any(isinstance(one, dict) and one.get("event_type") in ("order", "trade") for one in told)
