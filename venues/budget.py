"""What a venue allows an address to ask in a minute, and who goes first: looking leaves what orders and cancels need.

Waiting for one's turn is nobody's silence: `patience` counts only while the venue is asked.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import IntEnum
from typing import Final

from venues.errors import NotAsked

WINDOW_S: Final = 60.0
PATIENCE_S: Final = 60.0
"""Whoever only looks waits so long for its turn: until then all that was spent before it came is long enough ago."""
BACK_OFF_S: Final = 10.0
"""For so long nobody looks after the venue has said that there was too much: others spend from the same address, too."""
AGAIN_S: Final = 0.5
"""So often whoever waits finds out whether those before it need nothing any more."""


class Turn(IntEnum):
    """What is asked for, those first that go first: each class may spend what the ones before it leave."""

    ORDER = 0
    """Sending, taking back, finding out what became of a lost one. It never waits."""
    SOON = 1
    """What somebody waits for: a new order's fills, how one stands that was taken back, prices that values are made of."""
    ROUND = 2
    """All accounts in turn: collecting and comparing."""
    FOLLOWING = 3
    """Orders that wait at the venue, for days."""


_turn: ContextVar[Turn] = ContextVar("turn", default=Turn.ORDER)


@contextmanager
def looking(turn: Turn) -> Iterator[None]:
    """What is asked in here, and in tasks that begin here, has this turn. Everything else is about an order that somebody sends or
    takes back."""
    before = _turn.set(turn)
    try:
        yield
    finally:
        _turn.reset(before)


class _Patience:
    """A timeout that stands still while anybody under it waits for its turn."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._waiting = 0
        self._left = 0.0
        self.over = False

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        now = asyncio.get_running_loop().time
        self._waiting += 1
        # What has run out, or was given up, runs no more: whoever is still in there is about to be told.
        if self._waiting == 1 and (when := self._limit.when()) is not None and self._runs():
            self._left = when - now()
            self._limit.reschedule(None)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and self._limit.when() is None and self._runs():
                self._limit.reschedule(now() + self._left)

    def _runs(self) -> bool:
        return not self.over and not self._limit.expired()


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, for the venue's answer: what is waited in here for the turn to ask it is not counted. Not to be nested."""
    async with asyncio.timeout(seconds) as limit:
        mine = _Patience(limit)
        before = _patience.set(mine)
        try:
            yield
        finally:
            mine.over = True
            _patience.reset(before)


class Budget:
    """Of one venue, for all accounts of this process. Orders never wait, and what they spend is counted.

    What can wait does while more was spent in the last minute, on whatever, than its class may: `for_looking` for what somebody waits
    for, three quarters of it for the others. Of these, rounds go first, and leave a fifth to following.
    """

    def __init__(self, venue: str, for_looking: int, now: Callable[[], float] = time.monotonic) -> None:
        self._venue = venue
        self._for_looking = for_looking
        # Rounded down, both: what is not theirs is somebody's who waits.
        self._for_others = for_looking * 3 // 4
        self._for_following = self._for_others // 5
        self._now = now
        self._spent: deque[tuple[float, int, Turn]] = deque()
        self._in_all = 0
        self._on_following = 0
        self._quiet_until = 0.0
        self._heads: set[Turn] = set()
        self._lines = {turn: asyncio.Lock() for turn in Turn}

    @property
    def spent(self) -> int:
        """In the last minute."""
        while self._spent and self._spent[0][0] <= self._now() - WINDOW_S:
            _, weight, turn = self._spent.popleft()
            self._in_all -= weight
            self._on_following -= weight if turn is Turn.FOLLOWING else 0
        return self._in_all

    def spend(self, weight: int) -> None:
        """Count what is asked now."""
        turn = _turn.get()
        self._spent.append((self._now(), weight, turn))
        self._in_all += weight
        self._on_following += weight if turn is Turn.FOLLOWING else 0

    async def take(self, weight: int) -> None:
        """Count it, and first wait for its turn if it only looks. Raises `NotAsked` when that does not come."""
        turn, patient = _turn.get(), _patience.get()
        if turn is Turn.ORDER:
            self.spend(weight)
        elif patient is None:
            await self._waited(turn, weight)
        else:
            with patient.standing_still():
                await self._waited(turn, weight)

    def refused(self) -> None:
        """The venue says that there was too much."""
        self._quiet_until = self._now() + BACK_OFF_S

    async def _waited(self, turn: Turn, weight: int) -> None:
        try:
            # In each class in the order in which they came.
            async with asyncio.timeout(PATIENCE_S), self._lines[turn]:
                try:
                    while (wait := self._wait(turn, weight)) > 0:
                        self._heads.add(turn)
                        await asyncio.sleep(min(wait, AGAIN_S))
                    self.spend(weight)
                finally:
                    self._heads.discard(turn)
        except TimeoutError:
            raise NotAsked(self._venue, "what it allows in a minute is kept for others") from None

    def _wait(self, turn: Turn, weight: int) -> float:
        """Seconds until there may be room; what is more than all that a class may spend goes when nothing else was spent."""
        now = self._now()
        if now < self._quiet_until:
            return self._quiet_until - now
        in_all, on_following = self.spent, self._on_following
        if self._has_room(turn, weight, in_all, on_following):
            return 0.0
        for at, gone, whose in self._spent:
            in_all -= gone
            on_following -= gone if whose is Turn.FOLLOWING else 0
            if self._has_room(turn, weight, in_all, on_following):
                return at + WINDOW_S - now
        return 0.0

    def _has_room(self, turn: Turn, weight: int, in_all: int, on_following: int) -> bool:
        match turn:
            case Turn.ROUND:
                most = self._for_others - max(0, self._for_following - on_following)
            case Turn.FOLLOWING:
                own = self._for_following
                if Turn.ROUND in self._heads and on_following + min(weight, own) > own:
                    return False
                most = self._for_others
            case _:
                most = self._for_looking
        return in_all + min(weight, most) <= most
