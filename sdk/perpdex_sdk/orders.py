"""A request on its way: its quotes and its final answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from perpdex_sdk import messages as m


class OpenRequest:
    """Made by `Agent.ask`. `closed` resolves with the final answer; `elapsed_ms` is then how long that took."""

    def __init__(self, key: str, accept: "Callable[[OpenRequest, m.Quote], Awaitable[None]]") -> None:
        self.key = key
        self.number = 0
        self.closed: asyncio.Future[m.RequestClosed] = asyncio.get_running_loop().create_future()
        self.sent_ns = time.perf_counter_ns()
        self.elapsed_ms = 0.0
        self._accept = accept
        self._quotes: asyncio.Queue[m.Quote | None] = asyncio.Queue()

    async def quotes(self) -> AsyncIterator[m.Quote]:
        """Firm quotes as they come, until the request closes."""
        while (quote := await self._quotes.get()) is not None:
            yield quote

    async def accept(self, quote: m.Quote) -> None:
        """Take a quote. Raises `Refused` when it no longer stands."""
        await self._accept(self, quote)

    def heard_opened(self, event: m.RequestOpened) -> None:
        self.number = event.request

    def heard_quote(self, event: m.Quote) -> None:
        self._quotes.put_nowait(event)

    def heard_closed(self, event: m.RequestClosed) -> None:
        self.number = event.request
        self.end(event)

    def refused(self, error: Exception) -> None:
        self.end(error)

    def end(self, how: m.RequestClosed | Exception) -> None:
        if self.closed.done():
            return
        self.elapsed_ms = (time.perf_counter_ns() - self.sent_ns) / 1e6
        if isinstance(how, Exception):
            self.closed.set_exception(how)
        else:
            self.closed.set_result(how)
        self._quotes.put_nowait(None)
