"""One question over HTTP, what counts as no answer to it, and how much of an answer is read at all."""

import asyncio
import logging
from typing import Any, Final

import httpx

from core.hosts import hide_in_log, only_hosts
from oracles.polling import SourceFailed
from oracles.refusal import Reason, Refused

RATE_LIMITED_S: Final = 60.0
BODY_BYTES_MAX: Final = 1 << 20
"""Beyond any honest answer: the engine's process reads no more of one."""
PLAIN: Final = {"Accept-Encoding": "identity"}
"""Asks for no compression: a few kilobytes of it can stand for gigabytes, and what is compressed in spite of that is not expanded."""

logging.getLogger("httpx").addFilter(hide_in_log)


async def whole(response: httpx.Response) -> bytes:
    """The body of an answer that was opened as a stream. Raises `Refused` as soon as it is too large."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise Refused(Reason.WRONG_ENCODING, f"an answer of more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


async def posted(client: httpx.AsyncClient, url: str, who: str, timeout_s: float, **request: Any) -> bytes:
    """The body of an answer with status 200, which is here whole within `timeout_s`; `request` is what httpx is given besides.

    Raises `SourceFailed`, which names `who`.
    """
    request["headers"] = {**PLAIN, **request.get("headers", {})}
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream("POST", url, timeout=timeout_s, **request) as response,
        ):
            _must_be_good(response.status_code, who)
            return await whole(response)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise SourceFailed("timeout", f"{who} was silent: {type(error).__name__}.") from error
    except httpx.HTTPError as error:
        raise SourceFailed("unreachable", f"{who} can not be reached: {only_hosts(repr(error))}.") from None
    except Refused as refused:
        raise SourceFailed(refused.reason.value, f"{who}: {refused.found}") from refused


def _must_be_good(status: int, who: str) -> None:
    if status == 429:
        raise SourceFailed("rate_limited", f"{who} was asked too often (HTTP 429).", RATE_LIMITED_S)
    if status != 200:
        raise SourceFailed("failing", f"{who} answered HTTP {status}.")
