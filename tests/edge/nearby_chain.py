"""The local chain, served from a thread of this process: up in no time, its slots can be skipped, and it can stand still."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import uvicorn

from chain.localnet.bank import Bank
from chain.localnet.server import RpcServer


class NearbyChain:
    """Slots and server are those of `python -m chain.localnet`; between `start` and `kill` it answers at `url`.

    `slot_ms` may be changed at any time. The program's clock is the wall clock, whatever is skipped.
    """

    def __init__(self, data: Path, *, slot_ms: int, finality: int) -> None:
        self.url = ""
        self.slot_ms = slot_ms
        self._data, self._finality = data, finality
        self._started: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="chain")

    def start(self) -> None:
        self._thread.start()
        self.url = self._started.result(timeout=30)

    def kill(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(timeout=30)

    def pause(self) -> None:
        """No more slots and no more answers. Calls are still accepted, and done afterwards, as with a process that is stopped."""
        self._loop.call_soon_threadsafe(self._going.clear)

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._going.set)

    def skip(self, slots: int) -> None:
        """Let so many slots pass, now."""
        asyncio.run_coroutine_threadsafe(self._skip(slots), self._loop).result(timeout=30)

    async def _skip(self, slots: int) -> None:
        for _ in range(slots):
            self._bank.advance()

    async def _run(self) -> None:
        self._loop, self._over, self._going = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._going.set()
        try:
            # Here, for a machine stays with the thread that made it.
            self._bank = Bank(self._data, finality=self._finality)
            self._rpc = RpcServer(self._bank, self._over.set)
            config = uvicorn.Config(
                self._answer, port=0, interface="asgi3", lifespan="off", log_level="critical"
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.001)
        except BaseException as error:
            self._started.set_exception(error)
            raise
        self._started.set_result(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        slots = asyncio.create_task(self._advance())
        await self._over.wait()
        for running in (serving, slots):
            running.cancel()
        await asyncio.gather(serving, slots, return_exceptions=True)
        for listening in server.servers:
            listening.close()
        self._bank.close()

    async def _advance(self) -> None:
        while True:
            await asyncio.sleep(self.slot_ms / 1000)
            await self._going.wait()
            self._bank.advance()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Takes the whole call before it waits: what a stopped process was sent it reads when it goes on."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self._going.wait()

        async def read() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._rpc.app(scope, read, send)
