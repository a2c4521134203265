"""What a venue allows an address to ask in a minute, and who goes first: looking leaves what orders and cancels need."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from venues.errors import NotAsked

WINDOW_S: Final = 60.0
PATIENCE_S: Final = 30.0
"""Whoever only looks waits so long for its turn."""
BACK_OFF_S: Final = 10.0
"""For so long nobody looks after the venue has said that there was too much: others spend from the same address, too."""

_looking: ContextVar[bool] = ContextVar("looking", default=False)


@contextmanager
def looking() -> Iterator[None]:
    """What is asked in here, and in tasks that begin here, can wait. Everything else is about an order that somebody sends or takes
    back."""
    before = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(before)


class Budget:
    """Of one venue, for all accounts of this process. Looking waits while more than `for_looking` was spent in the last minute, on
    whatever; orders never wait, and what they spend is counted.
    """

    def __init__(self, venue: str, for_looking: int, now: Callable[[], float] = time.monotonic) -> None:
        self._venue = venue
        self._for_looking = for_looking
        self._now = now
        self._spent: deque[tuple[float, int]] = deque()
        self._in_all = 0
        self._quiet_until = 0.0
        self._turn = asyncio.Lock()

    @property
    def spent(self) -> int:
        """In the last minute."""
        while self._spent and self._spent[0][0] <= self._now() - WINDOW_S:
            self._in_all -= self._spent.popleft()[1]
        return self._in_all

    def spend(self, weight: int) -> None:
        """Count what is asked now."""
        self._spent.append((self._now(), weight))
        self._in_all += weight

    async def take(self, weight: int) -> None:
        """Count it, and first wait for its turn if it only looks. Raises `NotAsked` when that does not come."""
        if not _looking.get():
            self.spend(weight)
            return
        try:
            # In the order in which they came.
            async with asyncio.timeout(PATIENCE_S), self._turn:
                while (wait := self._wait(weight)) > 0:
                    await asyncio.sleep(wait)
                self.spend(weight)
        except TimeoutError:
            raise NotAsked(self._venue, "what it allows in a minute is kept for orders") from None

    def refused(self) -> None:
        """The venue says that there was too much."""
        self._quiet_until = self._now() + BACK_OFF_S

    def _wait(self, weight: int) -> float:
        """Seconds until there may be room; what is more than all that looking may spend goes when nothing else was spent."""
        now = self._now()
        if now < self._quiet_until:
            return self._quiet_until - now
        over = self.spent + min(weight, self._for_looking) - self._for_looking
        for at, gone in self._spent:
            if over <= 0:
                break
            over -= gone
            if over <= 0:
                return at + WINDOW_S - now
        return 0.0
