"""One question over HTTP, and what counts as no answer to it."""

import logging
from typing import Any, Final

import httpx

from core.hosts import hide_in_log, only_hosts
from oracles.polling import SourceFailed

RATE_LIMITED_S: Final = 60.0
logging.getLogger("httpx").addFilter(hide_in_log)


async def posted(client: httpx.AsyncClient, url: str, who: str, timeout_s: float, **request: Any) -> bytes:
    """The body of an answer with status 200; `request` is what httpx is given besides. Raises `SourceFailed`, which names `who`."""
    try:
        response = await client.post(url, timeout=timeout_s, **request)
    except httpx.TimeoutException as error:
        raise SourceFailed("timeout", f"{who} was silent: {type(error).__name__}.") from error
    except httpx.HTTPError as error:
        raise SourceFailed("unreachable", f"{who} can not be reached: {only_hosts(repr(error))}.") from None
    if response.status_code == 429:
        raise SourceFailed("rate_limited", f"{who} was asked too often (HTTP 429).", RATE_LIMITED_S)
    if response.status_code != 200:
        raise SourceFailed("failing", f"{who} answered HTTP {response.status_code}.")
    return response.content
