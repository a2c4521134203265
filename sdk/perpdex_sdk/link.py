"""One WebSocket that is always being kept open."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from perpdex_sdk.errors import ExchangeError, Unreachable

log = logging.getLogger("perpdex_sdk")

FRAME_MAX = 4 * 1024 * 1024
SILENCE_MAX = 15.0
"""Seconds without a frame after which the connection counts as dead: the exchange's heartbeat comes every five."""
PAUSE_FIRST, PAUSE_MAX = 0.05, 2.0
STEADY = 1.0
"""Seconds a connection must have lasted for the next attempt to come at once."""


def must_be_websocket(address: str) -> None:
    """Raises `Unreachable` for what is no address of a WebSocket, wherever it would lead."""
    try:
        parts = urlsplit(address)
        # What a name server could not be asked is no name; the port is checked by being read.
        named = bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError as error:
        raise Unreachable(f"{address!r} is no address of a WebSocket: {error}") from error
    if parts.scheme not in ("ws", "wss") or not named:
        raise Unreachable(f"{address!r} is no address of a WebSocket, such as wss://exchange.example/ws")


class _Listener(WSListener):
    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        self.heard = asyncio.get_running_loop().time()
        self.close_code = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard = asyncio.get_running_loop().time()
        if frame.msg_type is WSMsgType.TEXT:
            self._receive(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 0
            transport.disconnect()


class Link:
    """Connects, calls `opened` after each connection, hands frames to `receive`, and connects again when it breaks.

    `address` is asked before each connection and may sign in again; it is told the code with which the last one was closed.
    """

    def __init__(
        self,
        address: Callable[[int], Awaitable[str]],
        opened: Callable[[], None],
        receive: Callable[[bytes], None],
    ) -> None:
        self._address = address
        self._opened = opened
        self._receive = receive
        self._transport: WSTransport | None = None
        self.breaks = 0

    async def run(self) -> None:
        """Keep the link until cancelled. Raises what nobody expected: the link is gone then."""
        pause, code = PAUSE_FIRST, 0
        try:
            while True:
                try:
                    transport, listener = await self._connect(await self._address(code))
                except (OSError, WSError, ExchangeError) as error:
                    log.info("cannot connect: %r", error)
                else:
                    since = asyncio.get_running_loop().time()
                    await self._watch(transport, listener)
                    if asyncio.get_running_loop().time() - since > STEADY:
                        pause = PAUSE_FIRST
                    code = listener.close_code
                    self.breaks += 1
                self._transport = None
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(PAUSE_MAX, pause * 2)
        finally:
            if self._transport is not None:
                self._transport.disconnect()

    def send(self, payload: bytes) -> bool:
        """Send a frame; False when there is no connection now."""
        if self._transport is None or self._transport.is_disconnected:
            return False
        self._transport.send(WSMsgType.TEXT, payload)
        return True

    def drop(self) -> None:
        """Break the connection; it is made anew."""
        if self._transport is not None:
            self._transport.disconnect(False)

    async def _connect(self, url: str) -> tuple[WSTransport, _Listener]:
        transport, listener = await ws_connect(
            lambda: _Listener(self._receive), url, max_frame_size=FRAME_MAX, websocket_handshake_timeout=5
        )
        assert isinstance(listener, _Listener)
        self._transport = transport
        self._opened()
        return transport, listener

    async def _watch(self, transport: WSTransport, listener: _Listener) -> None:
        """Return when the connection is gone; break it when it has gone silent."""
        gone = asyncio.ensure_future(transport.wait_disconnected())
        try:
            while not gone.done():
                await asyncio.wait({gone}, timeout=SILENCE_MAX / 3)
                if asyncio.get_running_loop().time() - listener.heard > SILENCE_MAX:
                    transport.disconnect(False)
        finally:
            gone.cancel()
