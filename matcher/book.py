"""Open requests, the answers to them, and standing quotes: the volatile part of the exchange."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from core.events import QuoteGiven, RequestOpened
from core.funding_hour import SAMPLE_EVERY, sampled_at
from matcher.account import Account
from matcher.limits import SILENCES_MAX, SPEECHES_PER_SILENCE
from matcher.selling import Sale


class Request(msgspec.Struct, gc=False):
    """An open request. `waiting` makers are those it waits for: asked, and neither answered nor passed yet; `answers` are the firm
    ones, by maker."""

    opened: RequestOpened
    waiting: set[int]
    answers: dict[int, QuoteGiven]


class Level(msgspec.Struct, gc=False):
    """One standing level of a maker, with the tier that the maker had when it set it.

    It is named like an answer, so that a taker can trade against either.
    """

    quote: int
    account: int
    tier: int
    price: int
    size: int
    expires: int
    index: int

    @property
    def min_fill(self) -> int:
        return 1


class Ladder:
    """One side of a market's standing quotes, best first: price, premium tier, arrival. `sign` is +1 for asks, -1 for bids.

    Levels of one price and tier queue up in a dict, in the order of their arrival; the ranks of the queues are kept sorted.
    """

    __slots__ = ("_queue_of", "_queues", "_rank_per_tick", "_ranks")

    def __init__(self, sign: int) -> None:
        # Two ranks to a tick: the tier decides between levels of one price and never between prices.
        self._rank_per_tick = -2 * sign
        # The best are at the end: they come and go most, and there little has to move.
        self._ranks: list[int] = []
        self._queues: dict[int, dict[int, Level]] = {}
        self._queue_of: dict[int, dict[int, Level]] = {}

    def __iter__(self) -> Iterator[Level]:
        for rank in reversed(self._ranks):
            yield from self._queues[rank].values()

    def __len__(self) -> int:
        return len(self._queue_of)

    def get(self, quote: int) -> Level | None:
        queue = self._queue_of.get(quote)
        return queue[quote] if queue is not None else None

    def best(self) -> Level | None:
        ranks = self._ranks
        return next(iter(self._queues[ranks[-1]].values())) if ranks else None

    def add(self, level: Level) -> None:
        rank = level.price * self._rank_per_tick + level.tier
        queue = self._queues.get(rank)
        if queue is None:
            queue = self._queues[rank] = {}
            insort(self._ranks, rank)
        queue[level.quote] = level
        self._queue_of[level.quote] = queue

    def remove(self, quote: int) -> None:
        """Take a level out, if it still stands."""
        queue = self._queue_of.pop(quote, None)
        if queue is None:
            return
        level = queue.pop(quote)
        if not queue:
            ranks, rank = self._ranks, level.price * self._rank_per_tick + level.tier
            del self._queues[rank]
            if ranks[-1] == rank:
                ranks.pop()
            else:
                del ranks[bisect_left(ranks, rank)]


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


(
    REQUEST_DEADLINE,
    STANDING_DEADLINE,
    SWITCH_DEADLINE,
    RESUME_DEADLINE,
    PREMIUM_DEADLINE,
    DELISTING_DEADLINE,
) = range(6)

Deadline = tuple[int, int, int, int]
"""An instant, the kind, an account or request, and a market: ordered by instant."""


class Ranking(NamedTuple):
    """A market's makers at some instant: `first` are looked at for every request, and lots are drawn among `others`.

    It holds `until` (nanoseconds).
    """

    until: int
    first: list[int]
    others: list[int]


class Book:
    """Indexes over the volatile state. `deadlines` is a heap, for requests and standing quotes; its entries may be stale.

    `switches` has the deadline of each account's dead-man switch and `switch_deadlines` the same in order, one each, never stale:
    a switch moves as often as its agent likes and lives for an hour, so what it moved away from may not pile up.
    `standing_due` is the next deadline in the heap for an account's quotes in a market; it may come before they expire.
    `silences` has, for an account in a market, what requests that waited for it in vain count, less what it said since; `filled`, for
    the same, the lots that its quotes were filled with since the start.
    `rankings` are a memory of what makers can back. `sales` are the insurance fund's own, by market in which it holds something.
    `open_keys` finds an account's open requests by its client keys. `makers` has the accounts of each market's makers by id, in the
    order of their ids. `secret` keeps to itself when premiums are sampled and who is asked by lot; the engine draws it anew at every
    start.
    """

    def __init__(self) -> None:
        self.secret = b""
        self.next_id = 1
        self.requests: dict[int, Request] = {}
        self.open_keys: dict[int, dict[str, int]] = {}
        self.answered_by: dict[int, set[int]] = {}
        self.asks: dict[int, Ladder] = {}
        self.bids: dict[int, Ladder] = {}
        self.standing: dict[tuple[int, int], list[tuple[Ladder, range]]] = {}
        self.standing_expires: dict[tuple[int, int], int] = {}
        self.standing_due: dict[tuple[int, int], int] = {}
        self.makers: dict[int, dict[int, Account]] = {}
        self.silences: dict[tuple[int, int], int] = {}
        self.filled: dict[tuple[int, int], int] = {}
        self.rankings: dict[int, Ranking] = {}
        self.sales: dict[int, Sale] = {}
        self.frozen: dict[tuple[int, int], int] = {}
        self.protections: dict[tuple[int, int], Protection] = {}
        self.switches: dict[int, int] = {}
        self.switch_deadlines: list[Deadline] = []
        self.deadlines: list[Deadline] = []

    def earliest(self) -> Deadline | None:
        """The deadline that falls due first, or None when there is none."""
        deadlines, switches = self.deadlines, self.switch_deadlines
        if not switches:
            return deadlines[0] if deadlines else None
        return min(deadlines[0], switches[0]) if deadlines else switches[0]

    def switch(self, account: int, deadline: int) -> None:
        """Move an account's dead-man switch to `deadline`; 0 switches it off."""
        ordered, before = self.switch_deadlines, self.switches.pop(account, 0)
        if before:
            del ordered[bisect_left(ordered, (before, SWITCH_DEADLINE, account, 0))]
        if deadline:
            self.switches[account] = deadline
            insort(ordered, (deadline, SWITCH_DEADLINE, account, 0))

    def silent(self, account: int, market: int) -> bool:
        """Whether a maker has let so many requests pass in silence that they no longer wait for it."""
        return self.silences.get((account, market), 0) >= SILENCES_MAX * SPEECHES_PER_SILENCE

    def lot(self, count: int) -> int:
        """A number from 0 to below `count` (0 where there is nothing to draw from), drawn for the next id.

        Nobody without the secret can foresee it.
        """
        drawn = blake2b(b"%d" % self.next_id, key=self.secret, digest_size=8).digest()
        return int.from_bytes(drawn, "big") % max(1, count)

    def waited_for(self, makers: tuple[int, ...], market: int) -> set[int]:
        """Which of the asked makers a request waits for: those who speak, or all when none does, so that the only maker of a market
        is heard again after a pause."""
        if not self.silences:
            return set(makers)
        return {maker for maker in makers if not self.silent(maker, market)} or set(makers)

    def spoke(self, account: int, market: int) -> None:
        """The maker answered or passed: that makes up for a part of a silence."""
        where = account, market
        left = self.silences.get(where, 0) - 1
        if left > 0:
            self.silences[where] = left
        else:
            self.silences.pop(where, None)

    def close(self, account: int, key: str, id: int, at: int) -> None:
        """Forget a request, if it is open, and the deadlines at the head of the heap whose requests have closed.

        Whoever it still waited for when its time was up was silent. Requests close about in the order in which they came, so that
        hardly one deadline is left to fall due for nothing.
        """
        requests, deadlines = self.requests, self.deadlines
        request = requests.pop(id, None)
        if request is None:
            return
        del self.open_keys[account][key]
        if request.waiting and at >= request.opened.expires:
            for maker in request.waiting:
                where = maker, request.opened.market
                before = self.silences.get(where, 0)
                self.silences[where] = min(before, SILENCES_MAX * SPEECHES_PER_SILENCE) + SPEECHES_PER_SILENCE
        answered_by = self.answered_by
        for maker in request.answers:
            answered_by[maker].discard(id)
        while deadlines and deadlines[0][1] == REQUEST_DEADLINE and deadlines[0][2] not in requests:
            heappop(deadlines)

    def stand(self, account: int, market: int, expires: int) -> None:
        """Have a deadline at or before `expires`: makers replace their quotes so often that each cannot have one of its own."""
        where = account, market
        self.standing_expires[where] = expires
        due = self.standing_due.get(where)
        if due is None or expires < due:
            self.standing_due[where] = expires
            heappush(self.deadlines, (expires, STANDING_DEADLINE, account, market))

    def stood(self, account: int, market: int, due: int) -> None:
        """A deadline of standing quotes has passed: quotes that replaced those it was for need the next one."""
        where = account, market
        if self.standing_due.get(where) == due:
            del self.standing_due[where]
            if where in self.standing_expires:
                self.stand(account, market, self.standing_expires[where])

    def sample(self, market: int, at: int, last: int) -> None:
        """Have the market's next premium sampled after `at`, in a window after the one of `last`: what was missed is missed."""
        window = max(last // SAMPLE_EVERY + 1, at // SAMPLE_EVERY)
        due = sampled_at(market, window, self.secret)
        if due <= at:
            due = sampled_at(market, window + 1, self.secret)
        heappush(self.deadlines, (due, PREMIUM_DEADLINE, 0, market))

    def ladder(self, market: int, taker_side: int) -> Ladder:
        """The standing quotes that a taker of `taker_side` trades against."""
        return self.asks[market] if taker_side > 0 else self.bids[market]
