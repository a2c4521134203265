"""Light clients: they read only what they need from the bytes, so that the server and not they set the pace.

Frames to a server must be masked; the key zero, which changes nothing, keeps that cheap.
"""

import asyncio
import json
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, Final

PLAIN: Final = 0x81
MASKED: Final = 0x80
NO_MASK: Final = bytes(4)
CLOSED: Final = re.compile(
    rb'"ev":"closed","n":\d+,"seq":\d+,"at":\d+,"key":"([^"]+)".*?"outcome":"(\w+)"', re.DOTALL
)
RFQ: Final = re.compile(rb'"ev":"rfq","request":(\d+),')
ERROR: Final = re.compile(rb'"ev":"error".*?}', re.DOTALL)
PARTIAL_MAX: Final = 1_024
"""No message that is looked for is longer: what may be the start of one is kept for the next read."""


def framed(payload: bytes) -> bytes:
    """A client's whole text frame."""
    if len(payload) < 126:
        return bytes((PLAIN, MASKED | len(payload))) + NO_MASK + payload
    return bytes((PLAIN, MASKED | 126)) + struct.pack(">H", len(payload)) + NO_MASK + payload


class Refused(Exception):
    """The exchange answered with an error, or hung up: the measurement is void."""


class Link(asyncio.Protocol):
    """A WebSocket after its handshake; `received` is given the bytes as they come, frames and all."""

    def __init__(self) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.data = b""
        self._wanted = b""

    async def open(self, port: int, path: str = "/ws", token: str = "") -> None:
        """Connect; with a token, authenticate too."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)
        self._wanted = b"\r\n\r\n"
        self.transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await self.ready
        if token:
            await self.ask({"op": "auth", "id": "auth", "token": token}, b'"ev":"ready"')

    async def ask(self, message: dict[str, Any], answer: bytes = b'"ev":"ack"') -> None:
        """Send a message and wait for the answer that contains these bytes."""
        self.ready = asyncio.get_running_loop().create_future()
        self._wanted = answer
        self.transport.write(framed(json.dumps(message).encode()))
        await self.ready

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Refused("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self._wanted:
            self._answered()
        if b'"ev":"error"' in self.data:
            self._fail(Refused(ERROR.findall(self.data)[0].decode()))
        self.received()

    def received(self) -> None:
        """Look through `data` and keep what may be the start of another message."""
        self.data = self.data[-PARTIAL_MAX:]

    def close(self) -> None:
        if not self.broken.done():
            self.broken.cancel()
        self.transport.close()

    def _answered(self) -> None:
        if self._wanted in self.data:
            self.data = self.data[self.data.index(self._wanted) + len(self._wanted) :]
            self._wanted = b""
            self.ready.set_result(None)

    def _fail(self, error: Refused) -> None:
        for waiting in (self.ready, self.broken):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # seen: whoever waits raises it, and when nobody does that is no news


class Times:
    """Latencies in nanoseconds of what was answered since the last `clear`, and how everything ended."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.latencies: list[int] = []
        self.outcomes: Counter[str] = Counter()


class Trader(Link):
    """Sends requests of one lot, buying and selling in turn, and times each until its final answer."""

    def __init__(self, times: Times, symbols: tuple[str, ...], first: int) -> None:
        super().__init__()
        self._times = times
        self._symbols = symbols
        self._count = first
        self._sent: dict[bytes, int] = {}
        self.on_answer: Callable[[], None] = lambda: None

    def request(self, since: int) -> None:
        """Send one; its time counts from `since`, in the nanoseconds of `time.perf_counter_ns`."""
        self._count = count = self._count + 1
        key = b"%d" % count
        buys = count // len(self._symbols) % 2
        self._sent[key] = since
        self.transport.write(
            framed(
                b'{"op":"request","id":"%s","market":"%s","side":"%s","size":"0.01","limit":"%s","ttl_ms":5000}'
                % (
                    key,
                    self._symbols[count % len(self._symbols)].encode(),
                    b"buy" if buys else b"sell",
                    LIMITS[self._symbols[count % len(self._symbols)]][buys],
                )
            )
        )

    def received(self) -> None:
        end = 0
        for found in CLOSED.finditer(self.data):
            end = found.end()
            key, outcome = found.groups()
            self._times.latencies.append(time.perf_counter_ns() - self._sent.pop(key))
            self._times.outcomes[outcome.decode()] += 1
            self.on_answer()
        self.data = self.data[max(end, len(self.data) - PARTIAL_MAX) :]


class Maker(Link):
    """Answers each request for quotes at once, with its prices in turn, as (bid, ask)."""

    def __init__(self, prices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._tails = cycle(f',"bid":"{bid}","ask":"{ask}","size":"0.01"}}'.encode() for bid, ask in prices)

    def received(self) -> None:
        end = 0
        answers = []
        for found in RFQ.finditer(self.data):
            end = found.end()
            number = found[1]
            tail = next(self._tails)
            answers.append(framed(b'{"op":"quote","id":"%s","request":%s%s' % (number, number, tail)))
        self.data = self.data[max(end, len(self.data) - PARTIAL_MAX) :]
        if answers:
            self.transport.write(b"".join(answers))


class Echoed(Link):
    """Sends a message as long as a request and times it until it is back."""

    MESSAGE: Final = framed(b"x" * 112)
    BACK: Final = len(MESSAGE) - len(NO_MASK)

    def __init__(self, times: Times) -> None:
        super().__init__()
        self._times = times
        self._sent = 0
        self.on_answer: Callable[[], None] = lambda: None

    def request(self, since: int) -> None:
        self._sent = since
        self.transport.write(self.MESSAGE)

    def received(self) -> None:
        if self._sent and len(self.data) >= self.BACK:
            self.data = b""
            self._times.latencies.append(time.perf_counter_ns() - self._sent)
            self._times.outcomes["filled"] += 1
            self.on_answer()


LIMITS: Final = {
    "BTC-PERP": (b"59400", b"60600"),
    "ETH-PERP": (b"5940", b"6060"),
    "SOL-PERP": (b"594", b"606"),
}
"""Least price of a sale and highest of a purchase: a hundredth from the index."""
