"""Venues' streams, for what they are good for: whoever follows an account's orders looks as soon as something stirs there."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import structlog

from activities.account_looks import Account
from activities.venue_books import Drivers
from venues.errors import VenueError

STREAMS_MOST: Final = 10
"""Of one venue at one time: Hyperliquid tells an address of so many accounts. Orders of others are looked at from time to time."""
LINGER_S: Final = 30.0
"""A stream that nobody hears stays open for so long: orders are followed in steps, and venues count who connects."""
APART_S: Final = 2.0
"""However much stirs in an account, it wakes nobody sooner after the last time: a look costs more than a message."""
AGAIN_S: Final = (16.0, 240.0)
"""Between two tries to connect: ten accounts stay below the thirty connections that Hyperliquid lets an address make in a minute."""
HELD_S: Final = 60.0
"""A connection that held for so long was a good one, and the next is made soon."""
_log = structlog.get_logger("orders")


class Ear:
    """`news` is set when something may have happened to an account, lastly `at` (monotonic); whoever acts on it clears it."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.at = 0.0


class AccountStreams:
    """Over the venues' drivers. A stream loses messages and tells them twice, so nothing is counted from it."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers
        self._streams: dict[tuple[str, str], _Stream] = {}

    @contextmanager
    def heard(self, account: Account) -> Iterator[Ear]:
        """What stirs in a vault's account at a venue: nothing ever, where that has no stream, or there is no room for another one."""
        ear = Ear()
        stream = self._stream(account)
        if stream is None:
            yield ear
            return
        stream.come(ear)
        try:
            yield ear
        finally:
            stream.go(ear)

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(stream.end() for stream in list(self._streams.values())))

    def _stream(self, account: Account) -> "_Stream | None":
        stream = self._streams.get(account)
        if stream is None and sum(venue == account[1] for _, venue in self._streams) < STREAMS_MOST:
            stream = _Stream(self._drivers, account, lambda: self._streams.pop(account, None))
            self._streams[account] = stream
        return stream


class _Stream:
    """One account's, from when somebody comes until nobody has been there for a while; `over` is called then."""

    def __init__(self, drivers: Drivers, account: Account, over: Callable[[], object]) -> None:
        self._drivers = drivers
        self._account = account
        self._over = over
        self._ears: set[Ear] = set()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._listen())
        self._ending: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def come(self, ear: Ear) -> None:
        self._ears.add(ear)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def go(self, ear: Ear) -> None:
        self._ears.discard(ear)
        if not self._ears and not self._task.cancelling():
            self._ending = self._loop.call_later(LINGER_S, self._end)

    async def end(self) -> None:
        self._end()
        await asyncio.wait({self._task})

    def _end(self) -> None:
        for timer in (self._ending, self._telling):
            if timer is not None:
                timer.cancel()
        self._task.cancel()
        self._over()

    def _stirred(self) -> None:
        if self._telling is None:
            wait = max(0.0, self._told_at + APART_S - time.monotonic())
            self._telling = self._loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = time.monotonic()
        for ear in self._ears:
            ear.at = self._told_at
            ear.news.set()

    async def _listen(self) -> None:
        # Here, because a worker starts without what knows prices, and few have orders that wait.
        from oracles.polling import Backoff

        backoff = Backoff(*AGAIN_S)
        vault, venue = self._account
        while True:
            begun = time.monotonic()
            try:
                driver = await self._drivers.driver(vault, venue)
                stirs: Callable[[], AsyncGenerator[None]] | None = getattr(driver, "stirs", None)
                if stirs is None:
                    return
                async with aclosing(stirs()) as news:
                    async for _ in news:
                        self._stirred()
            except VenueError as broken:
                _log.info("a venue's stream broke", vault=vault, venue=venue, why=str(broken))
            except Exception:
                # Orders are followed without it, and the ledger that says whose account it is may be away for a moment.
                _log.exception("a venue's stream could not be heard", vault=vault, venue=venue)
            if time.monotonic() - begun >= HELD_S:
                backoff.reset()
            await asyncio.sleep(backoff.next())
