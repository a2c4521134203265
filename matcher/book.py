"""Open requests, the answers to them, and standing quotes: the volatile part of the exchange."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from heapq import heappop

import msgspec

from core.events import QuoteGiven, RequestOpened


class Request(msgspec.Struct):
    """An open request. `waiting` makers have neither answered nor passed yet; `answers` are the firm ones, by maker."""

    opened: RequestOpened
    waiting: set[int]
    answers: dict[int, QuoteGiven]


class Level(msgspec.Struct, gc=False):
    """One standing level of a maker. It is named like an answer, so that a taker can trade against either."""

    quote: int
    account: int
    price: int
    size: int
    expires: int
    index: int

    @property
    def min_fill(self) -> int:
        return 1


Ranked = tuple[int, int, int, Level]
"""Worst first: price (negated for asks), premium tier, arrival (negated). Arrivals differ, so levels are never compared."""


class Ladder:
    """One side of a market's standing quotes, best first. `sign` is +1 for asks, -1 for bids."""

    __slots__ = ("_ranked", "_where", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        # The best lie at the end: they come and go most, and there little has to move.
        self._ranked: list[Ranked] = []
        self._where: dict[int, Ranked] = {}

    def __iter__(self) -> Iterator[Level]:
        for ranked in reversed(self._ranked):
            yield ranked[3]

    def __len__(self) -> int:
        return len(self._ranked)

    def get(self, quote: int) -> Level | None:
        ranked = self._where.get(quote)
        return ranked[3] if ranked is not None else None

    def best(self) -> Level | None:
        return self._ranked[-1][3] if self._ranked else None

    def add(self, level: Level, tier: int) -> None:
        ranked = (-level.price * self.sign, tier, -level.quote, level)
        self._where[level.quote] = ranked
        insort(self._ranked, ranked)

    def remove(self, quote: int) -> None:
        ranked = self._where.pop(quote)
        if self._ranked[-1] is ranked:
            self._ranked.pop()
        else:
            del self._ranked[bisect_left(self._ranked, ranked)]


class Protection:
    """Maker protection of one account in one market, with the fills of the current window as (at, signed lots)."""

    __slots__ = ("fills", "freeze", "net", "size", "window")

    def __init__(self, window: int, size: int, net: int, freeze: int) -> None:
        self.window = window
        self.size = size
        self.net = net
        self.freeze = freeze
        self.fills: deque[tuple[int, int]] = deque()

    def record(self, at: int, lots: int) -> None:
        """Add a fill of `lots` (signed), and forget those that have left the window."""
        self.fills.append((at, lots))
        while self.fills and self.fills[0][0] <= at - self.window:
            self.fills.popleft()


REQUEST_DEADLINE, STANDING_DEADLINE, SWITCH_DEADLINE = 0, 1, 2


class Book:
    """Indexes over the volatile state. `deadlines` is a heap of (instant, kind, account or request, market); entries may be stale.

    `open_keys` finds an account's open requests by its client keys. `makers` maps each market's makers to their owners, in the
    order of their ids.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self.requests: dict[int, Request] = {}
        self.open_keys: dict[int, dict[str, int]] = {}
        self.answered_by: dict[int, set[int]] = {}
        self.asks: dict[int, Ladder] = {}
        self.bids: dict[int, Ladder] = {}
        self.standing: dict[tuple[int, int], list[tuple[Ladder, int]]] = {}
        self.standing_expires: dict[tuple[int, int], int] = {}
        self.makers: dict[int, dict[int, str]] = {}
        self.frozen: dict[tuple[int, int], int] = {}
        self.protections: dict[tuple[int, int], Protection] = {}
        self.switches: dict[int, int] = {}
        self.deadlines: list[tuple[int, int, int, int]] = []

    def close(self, account: int, key: str, id: int) -> None:
        """Forget a request, if it is open, and the deadlines at the head of the heap whose requests have closed.

        Requests close about in the order in which they came, so that hardly one deadline is left to fall due for nothing.
        """
        requests, deadlines = self.requests, self.deadlines
        request = requests.pop(id, None)
        if request is None:
            return
        del self.open_keys[account][key]
        for maker in request.answers:
            self.answered_by[maker].discard(id)
        while deadlines and deadlines[0][1] == REQUEST_DEADLINE and deadlines[0][2] not in requests:
            heappop(deadlines)

    def ladder(self, market: int, taker_side: int) -> Ladder:
        """The standing quotes that a taker of `taker_side` trades against."""
        return self.asks[market] if taker_side > 0 else self.bids[market]
