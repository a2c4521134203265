"""Answers that have no end, over real HTTP, from every source that is asked: neither memory nor time goes into them."""

import asyncio
import gzip
from contextlib import suppress
from functools import partial

import pytest
from aiohttp import web

from oracles.asking import BODY_BYTES_MAX
from oracles.polling import SourceFailed, reading

SOURCES = ("hermes", "accounts", "mids", "chainlink")


def latest(outside, source: str, timeout_s: float = 5.0):
    if source == "chainlink":
        return reading(source, outside.chainlink.latest(), timeout_s)
    return reading(source, getattr(outside, source).latest(timeout_s=timeout_s))


def everywhere(outside, handler) -> None:
    outside.site.routes |= dict.fromkeys(("/v2/updates/price/latest", "/solana", "/info", "/"), handler)


async def pieces(
    request: web.Request, piece: bytes, every_s: float, written: list[int]
) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while sum(written) < 64 * BODY_BYTES_MAX:
            await response.write(piece)
            written.append(len(piece))
            await asyncio.sleep(every_s)
    return response


@pytest.mark.parametrize("source", SOURCES)
async def test_an_answer_that_comes_byte_by_byte_is_given_up_in_time(outside, source):
    everywhere(outside, partial(pieces, piece=b" ", every_s=0.02, written=[]))
    with pytest.raises(SourceFailed) as error:
        async with asyncio.timeout(30):
            await latest(outside, source, timeout_s=0.2)
    assert error.value.code == "timeout"


@pytest.mark.parametrize("source", SOURCES)
async def test_an_answer_that_never_ends_is_not_read_on(outside, source):
    written: list[int] = []
    everywhere(outside, partial(pieces, piece=b" " * (1 << 16), every_s=0, written=written))
    with pytest.raises(SourceFailed) as error:
        await latest(outside, source)
    assert error.value.code == "wrong_encoding"
    assert sum(written) < 16 * BODY_BYTES_MAX  # the rest is in the buffers of two sockets


@pytest.mark.parametrize("source", SOURCES)
async def test_what_is_compressed_is_not_expanded(outside, source):
    """64 kB can stand for 64 MB, and compressed twice for thousands of times as much."""

    async def bomb(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        packed = gzip.compress(b" " * (2 * BODY_BYTES_MAX), 1)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    everywhere(outside, bomb)
    with pytest.raises(SourceFailed) as error:
        await latest(outside, source)
    assert error.value.code in {"wrong_encoding", "nonsense", "accounts_unavailable"}
    assert "more than" not in str(error.value)
