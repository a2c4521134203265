"""Polymarket's stream of one account, for what it is good for: to say that something happened."""

import json
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
from py_clob_client_v2.clob_types import ApiCreds

from venues.errors import Unavailable
from venues.polymarket_wire import VENUE

PING_S: Final = 10.0
"""The venue closes connections from which it hears nothing."""
SILENT: Final = 3
"""So many pings that were not answered are a connection that is there no more."""


async def stirs(url: str, credentials: ApiCreds) -> AsyncGenerator[None]:
    """Yields when something may have happened to the account: an order's change, a trade's, or that the connection is there.

    Ends with the connection. Raises `Unavailable`.
    """
    auth = {
        "apiKey": credentials.api_key,
        "secret": credentials.api_secret,
        "passphrase": credentials.api_passphrase,
    }
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/user") as socket:
            await socket.send_json({"auth": auth, "markets": [], "type": "user"})
            # The venue tells nothing of what was before.
            yield
            silent = 0
            while not socket.closed and silent < SILENT:
                try:
                    message = await socket.receive(timeout=PING_S)
                except TimeoutError:
                    silent += 1
                    await socket.send_str("PING")
                    continue
                silent = 0
                if message.type is aiohttp.WSMsgType.TEXT and _is_news(message.data):
                    yield
    except (aiohttp.ClientError, OSError) as broken:
        raise Unavailable(VENUE, f"its stream: {broken!r}") from broken


def _is_news(text: str) -> bool:
    """Whether a message is about an order or a trade, and not the answer to a ping. It may be one or a list."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    told = said if isinstance(said, list) else [said]
    return any(isinstance(one, dict) and one.get("event_type") in ("order", "trade") for one in told)
