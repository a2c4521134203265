"""The numbered private stream of each account: recent events in memory, older ones from the read side.

Numbers count the durable events that concern an account (`core.concerns`), exactly as the ledger counts them, so the
two sources join without a gap or an overlap.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec

from core.concerns import concerns
from core.events import Event, Filled
from matcher.engine import Engine
from matcher.segments import segments
from matcher.tail import Tail

KEPT_PER_ACCOUNT: Final = 1_000
KEPT_IN_ALL: Final = 1_000_000
"""Over all accounts, of which there may be very many: about 300 MB. Whoever was quiet longest gives up its oldest events first."""
KEPT_AT_START: Final = 20_000
"""Journal records read back at start, so that most agents resume from memory after a restart."""
FILLS_KEPT: Final = 100_000
PART: Final = 1_000
"""Accounts into whose streams a record about very many gets before others have their turn: about a millisecond."""
LEDGER_PAGE: Final = 500
CATCH_UP_TRIES: Final = 50
CATCH_UP_PAUSE: Final = 0.1
"""Seconds between looks at a read side that lags behind: 5 s in all."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """Event `number` of an account's stream, journal sequence `seq`.

    Of these there may be a million, and nothing in them can be part of a cycle: the collector, which stops everybody, never looks.
    """

    number: int
    seq: int
    event: Event


class Spread:
    """A record on its way into the streams of very many accounts: `left` are those that do not have it yet."""

    __slots__ = ("event", "left", "order", "seq")

    def __init__(self, seq: int, event: Event, accounts: tuple[int, ...]) -> None:
        self.seq = seq
        self.event = event
        self.left = set(accounts)
        self.order = iter(accounts)


class OlderEvents(Protocol):
    """Where events that left memory are read."""

    async def stream(self, account: int, after: int, limit: int) -> list[Item]:
        """Up to `limit` events of the account with numbers above `after`, ascending, as far as the read side has got."""


class HistoryUnavailable(Exception):
    """The read side did not have the events that memory no longer holds."""


class Streams:
    """Heads and recent events of every account's stream.

    A record about very many accounts gets into their streams part by part, and into each before any later record does. Until then the
    stream is as if the record were not on disk yet.
    """

    def __init__(self, heads: dict[int, int]) -> None:
        self._spreading: deque[Spread] = deque()
        self._heads = heads
        self._recent: OrderedDict[int, deque[Item]] = OrderedDict()
        self._kept = 0
        self._fills: dict[int, tuple[int, Filled]] = {}

    @classmethod
    async def start(cls, engine: Engine, directory: Path) -> "Streams":
        """Streams of a running engine, with the newest records of its journal; to be called before agents are let in.

        Whoever starts them gives each later durable event to `take`, from before the loop turns again.
        """
        while engine.synced < engine.state.seq:
            await asyncio.sleep(0.001)
        streams = cls({id: account.number for id, account in engine.state.accounts.items() if account.number})
        streams._read_back(directory, engine.synced)
        return streams

    def head(self, account: int) -> int:
        """Newest number that is on disk and in the stream."""
        return self._heads.get(account, 0)

    @property
    def behind(self) -> bool:
        """Whether a record is not yet in all streams that it belongs to: then `go_on` is to be called."""
        return bool(self._spreading)

    def take(self, seq: int, event: Event) -> list[tuple[int, Item]]:
        """Number a durable event; what has come into streams by it, with the account, in order."""
        accounts = concerns(event)
        if len(accounts) > PART:
            self._spreading.append(Spread(seq, event, accounts))
            return []
        if type(event) is Filled:
            self._remember(seq, event)
        if self._spreading:
            return [
                item
                for account in accounts
                for item in (*self._before(account), self._add(account, seq, event))
            ]
        return [self._add(account, seq, event) for account in accounts]

    def go_on(self) -> list[tuple[int, Item]]:
        """Take the oldest record that is not in all its streams yet into the next few; returns the same as `take`."""
        if not self._spreading:
            return []
        spread = self._spreading[0]
        accounts = [account for account in islice(spread.order, PART) if account in spread.left]
        spread.left.difference_update(accounts)
        if not spread.left:
            self._spreading.popleft()
        return [self._add(account, spread.seq, spread.event) for account in accounts]

    def _before(self, account: int) -> Iterator[tuple[int, Item]]:
        """What was to come into the account's stream before a record that is about to."""
        for spread in self._spreading:
            if account in spread.left:
                spread.left.remove(account)
                yield self._add(account, spread.seq, spread.event)

    def _add(self, account: int, seq: int, event: Event) -> tuple[int, Item]:
        number = self._heads[account] = self._heads.get(account, 0) + 1
        item = Item(number, seq, event)
        self._keep(account, item)
        return account, item

    def _keep(self, account: int, item: Item) -> None:
        """Have the account's newest event in memory, which then has the account's newest ones without a gap."""
        recent = self._recent.get(account)
        if recent is None:
            recent = self._recent[account] = deque(maxlen=KEPT_PER_ACCOUNT)
        self._kept += len(recent) < KEPT_PER_ACCOUNT
        recent.append(item)
        self._recent.move_to_end(account)
        if self._kept > KEPT_IN_ALL:
            self._drop_one()

    def _drop_one(self) -> None:
        quietest, kept = next(iter(self._recent.items()))
        kept.popleft()
        if not kept:
            del self._recent[quietest]
        self._kept -= 1

    def fill(self, number: int) -> tuple[int, Filled] | None:
        """Sequence and event of a recent fill."""
        return self._fills.get(number)

    def fee(self, number: int) -> int | None:
        """Taker's fee of a recent fill."""
        known = self._fills.get(number)
        return known[1].fee if known is not None else None

    def recent(self, account: int, after: int) -> list[Item] | None:
        """Events above `after` when memory has all of them, else None."""
        kept = self._recent.get(account)
        if after >= self.head(account):
            return []
        if kept is None or kept[0].number > after + 1:
            return None
        return [item for item in kept if item.number > after]

    async def after(self, account: int, after: int, limit: int, older: OlderEvents) -> list[Item]:
        """Up to `limit` events above `after`, in order; empty only at the head. Raises `HistoryUnavailable`."""
        for _ in range(CATCH_UP_TRIES):
            recent = self.recent(account, after)
            if recent is not None:
                return recent[:limit]
            items = await older.stream(account, after, min(limit, LEDGER_PAGE))
            known = [item for item in items if item.number <= self.head(account)]
            if known:
                return known
            await asyncio.sleep(CATCH_UP_PAUSE)
        raise HistoryUnavailable(f"events of account {account} after {after}")

    def _remember(self, seq: int, event: Filled) -> None:
        self._fills[event.fill] = (seq, event)
        if len(self._fills) > FILLS_KEPT:
            del self._fills[next(iter(self._fills))]

    def _read_back(self, directory: Path, synced: int) -> None:
        records = _newest(directory, synced)
        left = dict(self._heads)
        numbered: list[tuple[int, Item]] = []
        for seq, event in reversed(records):
            for account in reversed(concerns(event)):
                numbered.append((account, Item(left[account], seq, event)))
                left[account] -= 1
        for account, item in reversed(numbered):
            self._keep(account, item)
        for seq, event in records:
            if isinstance(event, Filled):
                self._remember(seq, event)


def _newest(directory: Path, synced: int) -> list[tuple[int, Event]]:
    """The journal's newest records up to `synced`; fewer when older segments were pruned."""
    first = min((first for first, _ in segments(directory)), default=1)
    tail = Tail(directory, max(first - 1, synced - KEPT_AT_START))
    records: list[tuple[int, Event]] = []
    try:
        while tail.sequence < synced:
            records += tail.read()
    finally:
        tail.close()
    return [record for record in records if record[0] <= synced]
