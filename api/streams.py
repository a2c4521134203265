"""The numbered private stream of each account: recent events in memory, older ones from the read side.

Numbers count the durable events that concern an account (`core.events.concerns`), exactly as the ledger counts them, so the
two sources join without a gap or an overlap.
"""

import asyncio
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from core.events import Event, Filled, concerns
from matcher.engine import Engine
from matcher.segments import segments
from matcher.tail import Tail

KEPT_PER_ACCOUNT: Final = 1_000
KEPT_AT_START: Final = 20_000
"""Journal records read back at start, so that most agents resume from memory after a restart."""
FILLS_KEPT: Final = 100_000
LEDGER_PAGE: Final = 500
CATCH_UP_TRIES: Final = 50
CATCH_UP_PAUSE: Final = 0.1
"""Seconds between looks at a read side that lags behind: 5 s in all."""


class Item(NamedTuple):
    """Event `number` of an account's stream, journal sequence `seq`."""

    number: int
    seq: int
    event: Event


class OlderEvents(Protocol):
    """Where events that left memory are read."""

    async def stream(self, account: int, after: int, limit: int) -> list[Item]:
        """Up to `limit` events of the account with numbers above `after`, ascending, as far as the read side has got."""


class HistoryUnavailable(Exception):
    """The read side did not have the events that memory no longer holds."""


class Streams:
    """Heads and recent events of every account's stream."""

    def __init__(self, heads: dict[int, int]) -> None:
        self._heads = heads
        self._recent: dict[int, deque[Item]] = {}
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
        """Newest number that is on disk."""
        return self._heads.get(account, 0)

    def take(self, seq: int, event: Event) -> tuple[int, ...]:
        """Number a durable event; the accounts whose streams have it now, each as its head."""
        accounts = concerns(event)
        for account in accounts:
            number = self._heads[account] = self._heads.get(account, 0) + 1
            recent = self._recent.get(account)
            if recent is None:
                recent = self._recent[account] = deque(maxlen=KEPT_PER_ACCOUNT)
            recent.append(Item(number, seq, event))
        if type(event) is Filled:
            self._remember(seq, event)
        return accounts

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
            if items:
                return items
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
            self._recent.setdefault(account, deque(maxlen=KEPT_PER_ACCOUNT)).append(item)
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
