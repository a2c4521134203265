"""Pyth's price service Hermes over HTTP: asked again and again, or as a stream of events that reconnects.

Only the signed bytes are asked for and only what they prove is used: the server's own decoding is neither needed nor believed.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

import httpx
import msgspec
import structlog

from core.hosts import only_hosts
from oracles.accumulator import to_price, verify
from oracles.asking import PLAIN, whole
from oracles.polling import BACKOFF_S, BROKEN, Backoff, Sleep, SourceFailed
from oracles.price import Price
from oracles.refusal import Reason, Refused
from oracles.route import LIVE_AGES, LIVE_CONFIDENCE_MAX, Limits
from oracles.signers import PUBLISHER
from oracles.sse import EventStream
from oracles.vaa import SignerSet

SOURCE: Final = "pyth hermes"
PUBLIC_URL: Final = "https://hermes.pyth.network"
_LATEST: Final = "/v2/updates/price/latest"
_STREAM: Final = "/v2/updates/price/stream"
UPDATES_MIN: Final = 16
"""An answer may hold this many updates and messages, or as many as feeds are asked for where these are more. An honest one has one
update with a message for each feed; each update costs a check of signatures: a megabyte of them would hold the engine's process up."""
CONNECT_S: Final = 5.0
QUIET_S: Final = 10.0
"""A stream without an event for this long is dead, whatever else it sends: prices come several times a second."""
RATE_LIMITED_S: Final = 60.0
"""How long the public service refuses who asked too often."""

_log = structlog.get_logger("hermes")


class HermesFailed(SourceFailed):
    """No answer, or one that is no prices."""


class _Binary(msgspec.Struct, frozen=True):
    encoding: str
    data: list[str]


class _Answer(msgspec.Struct, frozen=True):
    binary: _Binary


class Hermes:
    """Prices of `feeds` (symbol to feed id in hexadecimal) from one server.

    The client is the caller's and keeps its own connections; `trusted` are the signer sets to believe. `api_key` is sent as a
    bearer token: the public service answers 401 without one.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        feeds: Mapping[str, str],
        trusted: Sequence[SignerSet],
        url: str = PUBLIC_URL,
        api_key: str = "",
    ) -> None:
        self._client = client
        self._symbols: dict[str, list[str]] = {}
        for symbol, feed in feeds.items():
            # A market that ends and the one that takes its place have the same feed.
            self._symbols.setdefault(feed.removeprefix("0x").lower(), []).append(symbol)
        self._trusted = tuple(trusted)
        self._url = url.rstrip("/")
        self._headers = PLAIN | ({"Authorization": f"Bearer {api_key}"} if api_key else {})

    @property
    def host(self) -> str:
        """The server, for people."""
        return httpx.URL(self._url).host

    @property
    def symbols(self) -> frozenset[str]:
        """Of which it has prices."""
        return frozenset(symbol for symbols in self._symbols.values() for symbol in symbols)

    def limits(self) -> Limits:
        """Within what its prices are believed."""
        return Limits(SOURCE, PUBLISHER, LIVE_AGES, LIVE_CONFIDENCE_MAX)

    async def latest(self, timeout_s: float = 5.0) -> tuple[Price, ...]:
        """The newest price of every feed, once. Raises `HermesFailed` or `Refused`."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._opened(_LATEST, httpx.Timeout(timeout_s)) as response,
            ):
                body = await whole(response)
        except TimeoutError as error:
            raise HermesFailed("timeout", f"Hermes did not answer within {timeout_s:g} s.") from error
        return self.proven(body)

    async def updates(self, quiet_s: float = QUIET_S) -> AsyncGenerator[tuple[Price, ...], None]:
        """Prices as they are published, over one connection, until it ends. Raises `HermesFailed` or `Refused`."""
        events, loop = EventStream(), asyncio.get_running_loop()
        heard = loop.time()
        limits = httpx.Timeout(CONNECT_S, read=quiet_s)
        async with self._opened(_STREAM, limits) as response:
            async for piece in response.aiter_raw():
                for event in events.feed(piece):
                    yield self.proven(event)
                    heard = loop.time()
                if loop.time() - heard > quiet_s:
                    raise HermesFailed("timeout", f"Hermes sent no event within {quiet_s:g} s.")

    async def stream(
        self,
        sleep: Sleep,
        failed: Callable[["HermesFailed | Refused"], None],
        *,
        quiet_s: float = QUIET_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> AsyncGenerator[tuple[Price, ...], None]:
        """Prices for ever: whenever the connection fails, lies or ends without a price, tells `failed`, waits a little longer than the
        last time and connects again. Servers end connections now and then: one that brought prices is no failure."""
        backoff = Backoff(*backoff_s)
        while True:
            least, brought = 0.0, False
            try:
                async with aclosing(self.updates(quiet_s)) as updates:
                    async for prices in updates:
                        backoff.reset()
                        brought = True
                        yield prices
                if not brought:
                    raise HermesFailed("ended", "Hermes ended the stream before the first price.")
                _log.info("stream ended", url=only_hosts(self._url))
            except HermesFailed as error:
                least = error.wait_s
                failed(error)
                _log.warning("stream failed", url=only_hosts(self._url), code=error.code, why=str(error))
            except Refused as error:
                failed(error)
                _log.error("update refused", url=only_hosts(self._url), code=error.reason, why=error.found)
            except Exception as error:  # whatever one server makes of us, the other sources go on
                failed(HermesFailed(BROKEN, f"The stream broke: {only_hosts(repr(error))}"))
                _log.error("the stream broke", url=only_hosts(self._url), exc_info=error)
            await sleep(backoff.next(least))

    def proven(self, answer: bytes) -> tuple[Price, ...]:
        """What an answer of the server proves about our feeds. Raises `Refused`; one bad update, or one too many, spoils all of it."""
        prices, messages, most = [], 0, max(UPDATES_MIN, len(self._symbols))
        updates = _updates(answer)
        if len(updates) > most:
            raise Refused(Reason.TOO_MANY, f"{len(updates)} updates for {len(self._symbols)} feeds")
        for data in updates:
            update = verify(data, self._trusted)
            messages += len(update.prices) + update.others
            if messages > most:
                raise Refused(Reason.TOO_MANY, f"{messages} messages for {len(self._symbols)} feeds")
            for message in update.prices:
                for symbol in self._symbols.get(message.feed, ()):
                    prices.append(to_price(symbol, message, SOURCE))
        return tuple(prices)

    @asynccontextmanager
    async def _opened(self, path: str, limits: httpx.Timeout) -> AsyncGenerator[httpx.Response, None]:
        """One good answer, whose body is still to be read. Raises `HermesFailed`, also while it is read."""
        query = {
            "ids[]": list(self._symbols),
            "encoding": "hex",
            "parsed": "false",
            # One market whose feed does not exist must not keep all others from their prices.
            "ignore_invalid_price_ids": "true",
        }
        try:
            async with self._client.stream(
                "GET",
                self._url + path,
                params=query,
                headers=self._headers,
                timeout=limits,
                follow_redirects=True,
            ) as response:
                _must_be_good(response)
                yield response
        except httpx.TimeoutException as error:
            raise HermesFailed("timeout", f"Hermes was silent: {type(error).__name__}.") from error
        except httpx.HTTPError as error:
            raise HermesFailed(
                "unreachable", f"Hermes can not be reached: {only_hosts(repr(error))}."
            ) from None


def _must_be_good(response: httpx.Response) -> None:
    status = response.status_code
    if status in (401, 403):
        raise HermesFailed("unauthorized", f"Hermes wants an API key (HTTP {status}).", RATE_LIMITED_S)
    if status == 429:
        raise HermesFailed("rate_limited", "Hermes was asked too often (HTTP 429).", _retry_after(response))
    if status == 404:
        raise HermesFailed(
            "unknown_feed", "Hermes does not know one of the feeds (HTTP 404).", RATE_LIMITED_S
        )
    if status != 200:
        raise HermesFailed("failing", f"Hermes answered HTTP {status}.")


def _retry_after(response: httpx.Response) -> float:
    stated = response.headers.get("Retry-After", "")
    return min(float(stated), 600.0) if stated.isdecimal() else RATE_LIMITED_S


def _updates(answer: bytes) -> list[bytes]:
    """The binary updates in an answer of either encoding."""
    try:
        binary = msgspec.json.decode(answer, type=_Answer).binary
        if binary.encoding == "hex":
            return [bytes.fromhex(text) for text in binary.data]
        if binary.encoding == "base64":
            return [base64.b64decode(text, validate=True) for text in binary.data]
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise Refused(Reason.WRONG_ENCODING, str(error)) from None
    raise Refused(Reason.WRONG_ENCODING, f"encoding {binary.encoding!r}")
