"""Accounts by the mark at which they come to their next stage: a heap that stays short without ever being gone through."""

from heapq import heappop, heappush
from typing import Final

ENTRIES_MIN: Final = 64
SWEPT_PER_PUSH: Final = 4

Entry = tuple[int, int, int]
"""A mark in ticks (negated where the highest comes first), an account, and the stamp of its last look."""


class Edges:
    """Accounts by the mark that they are watched at, the first to be crossed on top; outdated entries stay until they come up or are
    swept.

    Once more than half of the entries may be outdated, all become `old`, and every push carries a few of those over that still hold: a
    heap stays one when its last entry is taken away.
    """

    __slots__ = ("entries", "old", "swept")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.old: list[Entry] = []
        self.swept = ENTRIES_MIN

    def push(self, entry: Entry, stamps: dict[int, int]) -> None:
        heappush(self.entries, entry)
        if not self.old:
            if len(self.entries) <= self.swept:
                return
            self.entries, self.old = self.old, self.entries
        for _ in range(min(SWEPT_PER_PUSH, len(self.old))):
            one = self.old.pop()
            if stamps.get(one[1]) == one[2]:
                heappush(self.entries, one)
        if not self.old:
            self.swept = max(ENTRIES_MIN, 2 * len(self.entries))

    def crossed(self, mark: int, stamps: dict[int, int], into: set[int]) -> None:
        """Take out the accounts whose mark lies before `mark` (negated like the entries)."""
        for entries in (self.entries, self.old):
            while entries and entries[0][0] < mark:
                _, account, stamp = heappop(entries)
                if stamps.get(account) == stamp:
                    into.add(account)
