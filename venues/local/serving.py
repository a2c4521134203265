"""A local venue's door: one aiohttp server on this machine, and what every local venue does in the same way at it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from venues.local.journal import Journal
from venues.local.misbehaviour import Kind, Misbehaviour, Request


class Door(ABC):
    """Serves a venue until `stop`, which closes its journal as well; `url` is known after `start`."""

    def __init__(self, journal: Journal[Any] | None = None) -> None:
        self._kept = journal
        self.misbehaviour = Misbehaviour()
        self.sockets: dict[web.WebSocketResponse, asyncio.BaseTransport | None] = {}
        self.url = ""
        self._stopped = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What is at this venue's door."""

    async def start(self, port: int = 0) -> None:
        """Listen on a port of this machine, any free one by default. Raises `OSError`."""
        app = web.Application()
        app.add_routes(
            [
                *self.routes(),
                web.get("/control/misbehaviour", self._shown),
                web.post("/control/misbehaviour", self._asked),
                web.delete("/control/misbehaviour", self._cleared),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"

    async def stop(self) -> None:
        self._drop_sockets()
        self._stopped.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._kept is not None:
            self._kept.close()

    async def answered(
        self, request: web.Request, act: Callable[[Kind | None], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer to something that changes the venue's books, or what it was asked to do instead of answering."""
        kind = self.misbehaviour.next()
        if kind is Kind.RATE_LIMIT:
            return self.too_many()
        if kind is Kind.FAIL:
            return web.Response(status=502, text="Bad Gateway")
        if kind is Kind.LOSE_REQUEST:
            return _broken(request)
        response = await act(kind)
        if kind is Kind.LOSE_REPLY:
            return _broken(request)
        if kind is Kind.PROXY_TIME_OUT:
            return web.Response(
                status=408, text="<html>408 Request Time-out</html>", content_type="text/html"
            )
        if kind is Kind.TIME_OUT:
            await self._stopped.wait()
        return response

    def too_many(self) -> web.StreamResponse:
        return web.Response(status=429, text="Too Many Requests")

    async def tell(self, socket: web.WebSocketResponse, message: Any) -> None:
        """Send to one listener; one that is gone hears no more."""
        try:
            await socket.send_str(msgspec.json.encode(message).decode())
        except (ConnectionError, RuntimeError):
            self.sockets.pop(socket, None)

    async def _asked(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Request)
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        if asked.kind is Kind.DISCONNECT:
            self._drop_sockets()
        else:
            self.misbehaviour.ask(asked)
            self.misbehaves()
        return web.json_response(self.misbehaviour.shown())

    @abstractmethod
    def misbehaves(self) -> None:
        """Called after each change of what lasts."""

    async def _shown(self, request: web.Request) -> web.Response:
        return web.json_response(self.misbehaviour.shown())

    async def _cleared(self, request: web.Request) -> web.Response:
        self.misbehaviour.clear()
        self.misbehaves()
        return web.json_response(self.misbehaviour.shown())

    def _drop_sockets(self) -> None:
        for transport in self.sockets.values():
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        self.sockets.clear()


def _broken(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
