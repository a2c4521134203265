"""Open requests, the answers to them, and standing quotes: the volatile part of the exchange."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator


class Answer:
    """A maker's firm answer to a request; price 0 means no quote on that side. `index` is the index when it was given."""

    __slots__ = ("account", "ask", "at", "bid", "expires", "id", "index", "min_fill", "size")

    def __init__(
        self,
        id: int,
        account: int,
        bid: int,
        ask: int,
        size: int,
        min_fill: int,
        expires: int,
        index: int,
        at: int,
    ) -> None:
        self.id = id
        self.account = account
        self.bid = bid
        self.ask = ask
        self.size = size
        self.min_fill = min_fill
        self.expires = expires
        self.index = index
        self.at = at


class Request:
    """An open request. `asked` makers have neither answered nor passed yet."""

    __slots__ = (
        "account",
        "all_or_none",
        "answers",
        "asked",
        "at",
        "auto",
        "expires",
        "id",
        "key",
        "limit",
        "market",
        "reduce_only",
        "show_side",
        "side",
        "size",
        "terms",
        "waiting",
    )

    def __init__(
        self,
        id: int,
        account: int,
        key: str,
        terms: int,
        market: int,
        side: int,
        size: int,
        limit: int,
        expires: int,
        auto: bool,
        all_or_none: bool,
        reduce_only: bool,
        show_side: bool,
        asked: tuple[int, ...],
        at: int,
    ) -> None:
        self.id = id
        self.account = account
        self.key = key
        self.terms = terms
        self.market = market
        self.side = side
        self.size = size
        self.limit = limit
        self.expires = expires
        self.auto = auto
        self.all_or_none = all_or_none
        self.reduce_only = reduce_only
        self.show_side = show_side
        self.asked = asked
        self.at = at
        self.waiting = set(asked)
        self.answers: dict[int, Answer] = {}


class Level:
    """One standing level of a maker."""

    __slots__ = ("account", "expires", "id", "index", "price", "size")

    def __init__(self, id: int, account: int, price: int, size: int, expires: int, index: int) -> None:
        self.id = id
        self.account = account
        self.price = price
        self.size = size
        self.expires = expires
        self.index = index


Rank = tuple[int, int, int]
"""Best first: price (negated for bids), premium tier (negated), arrival."""


class Ladder:
    """One side of a market's standing quotes, best first. `sign` is +1 for asks, -1 for bids."""

    __slots__ = ("_levels", "_ranks", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self._ranks: list[Rank] = []
        self._levels: dict[int, tuple[Rank, Level]] = {}

    def __iter__(self) -> Iterator[Level]:
        levels = self._levels
        return (levels[rank[2]][1] for rank in self._ranks)

    def __len__(self) -> int:
        return len(self._ranks)

    def get(self, id: int) -> Level | None:
        entry = self._levels.get(id)
        return entry[1] if entry else None

    def add(self, level: Level, tier: int) -> None:
        rank = (level.price * self.sign, -tier, level.id)
        self._levels[level.id] = (rank, level)
        insort(self._ranks, rank)

    def remove(self, id: int) -> None:
        rank, _ = self._levels.pop(id)
        del self._ranks[bisect_left(self._ranks, rank)]


class Protection:
    """Maker protection of one account in one market, with the fills of the current window as (at, signed lots)."""

    __slots__ = ("fills", "freeze", "net", "size", "window")

    def __init__(self, window: int, size: int, net: int, freeze: int) -> None:
        self.window = window
        self.size = size
        self.net = net
        self.freeze = freeze
        self.fills: deque[tuple[int, int]] = deque()


REQUEST_DEADLINE, STANDING_DEADLINE, SWITCH_DEADLINE = 0, 1, 2


class Book:
    """Indexes over the volatile state. `deadlines` is a heap of (instant, kind, account or request, market); entries may be stale."""

    def __init__(self) -> None:
        self.next_id = 1
        self.requests: dict[int, Request] = {}
        self.requests_of: dict[int, set[int]] = {}
        self.open_keys: dict[tuple[int, str], int] = {}
        self.answered_by: dict[int, set[int]] = {}
        self.asks: dict[int, Ladder] = {}
        self.bids: dict[int, Ladder] = {}
        self.standing: dict[tuple[int, int], list[tuple[Ladder, int]]] = {}
        self.standing_expires: dict[tuple[int, int], int] = {}
        self.makers: dict[int, set[int]] = {}
        self.frozen: dict[tuple[int, int], int] = {}
        self.protections: dict[tuple[int, int], Protection] = {}
        self.switches: dict[int, int] = {}
        self.deadlines: list[tuple[int, int, int, int]] = []

    def ladder(self, market: int, taker_side: int) -> Ladder:
        """The standing quotes that a taker of `taker_side` trades against."""
        return self.asks[market] if taker_side > 0 else self.bids[market]
