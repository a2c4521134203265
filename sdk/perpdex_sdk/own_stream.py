"""The private stream on its way into an agent's own books, and what is done when these turn out to be wrong."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from perpdex_sdk import messages as m
from perpdex_sdk.books import Books, CannotTake
from perpdex_sdk.conversation import PATIENCE
from perpdex_sdk.errors import Closed, ExchangeError
from perpdex_sdk.markets import Market
from perpdex_sdk.rest import Rest

log = logging.getLogger("perpdex_sdk")


class OwnStream:
    """Hands messages on in order, numbered ones once and after the books took them.

    Books that cannot take an event, or that differ from the exchange's, are read again together with the markets; messages wait
    meanwhile. What is read may be ahead of the stream: events up to the books' `head` are then handed on and not counted twice.

    `drop` breaks the connection, `give_up` is told of what nobody expected while reading: nothing is taken in after that.
    """

    def __init__(
        self,
        name: str,
        rest: Rest,
        hand_on: Callable[[m.Message], None],
        drop: Callable[[], None],
        give_up: Callable[[BaseException], None],
    ) -> None:
        self.markets: dict[str, Market] = {}
        self.mismatches = 0
        self.heard = 0
        self.stale = False
        self._name = name
        self._rest = rest
        self._hand_on = hand_on
        self._drop = drop
        self._give_up = give_up
        self._books: Books | None = None
        self._waiting: deque[m.Message] = deque()
        self._reading: asyncio.Task[None] | None = None

    @property
    def books(self) -> Books:
        """Raises `Closed` before they were read."""
        if self._books is None:
            raise Closed("not connected yet")
        return self._books

    async def start(self) -> None:
        """Read account and markets for the first time. Raises `Refused`, `Unreachable`."""
        await self._read()
        self.heard = self.books.head

    async def begin(self) -> None:
        """A connection is about to be made: have the books in order. Raises `Refused`, `Unreachable`."""
        if self._reading is not None:
            await asyncio.wait({self._reading})
        if self.stale:
            await self._read()

    def resume(self) -> int:
        """The number after which a new connection sends the stream again; what still waits of the last one comes with it."""
        self._waiting.clear()
        return self.heard

    def receive(self, message: m.Message) -> None:
        """Take a message in. A gap breaks the connection, and the resume closes it."""
        if self.stale:
            return
        if self._reading is not None:
            self._waiting.append(message)
        elif not isinstance(message, m.Numbered) or not message.n:
            if isinstance(message, m.Ready | m.Heartbeat):
                self._compare(message)
            self._hand_on(message)
        elif message.n > self.heard:
            self._take(message)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _take(self, event: m.Numbered) -> None:
        if event.n != self.heard + 1:
            log.warning("%s: event %d came after %d", self._name, event.n, self.heard)
            self._drop()
            return
        try:
            self.books.take(event)
        except CannotTake as why:
            log.info("%s: account and markets are read again: %s", self._name, why)
            self._waiting.append(event)
            self._read_again()
            return
        self.heard = event.n
        self._hand_on(event)

    def _compare(self, told: m.Ready | m.Heartbeat) -> None:
        if told.hash is not None and told.head == self.books.head and told.hash != self.books.hash():
            self.mismatches += 1
            log.error(
                "%s: own books differ from the exchange's at event %d and are read again",
                self._name,
                told.head,
            )
            self._read_again()

    def _read_again(self) -> None:
        self._reading = asyncio.get_running_loop().create_task(self._catch_up())
        self._reading.add_done_callback(self._caught_up)

    def _caught_up(self, reading: asyncio.Task[None]) -> None:
        error = None if reading.cancelled() else reading.exception()
        if error is not None:
            self.stale = True
            self._give_up(error)

    async def _catch_up(self) -> None:
        """Read again, then take in what waited; without an answer, break the connection: the next one is made after a reading."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._read()
        except (ExchangeError, TimeoutError) as error:
            log.warning("%s: the account cannot be read: %r", self._name, error)
            self.stale = True
            self._drop()
        finally:
            self._reading = None
        waited, self._waiting = self._waiting, deque()
        for message in waited:
            self.receive(message)

    async def _read(self) -> None:
        # The markets after the account: so every one that it has a position in is among them.
        account = await self._rest.account()
        markets = {market.symbol: market for market in await self._rest.markets()}
        self.markets.clear()
        self.markets.update(markets)
        self._books = Books(markets, account)
        self.stale = False
