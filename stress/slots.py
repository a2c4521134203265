"""Slots on chain as far as their owners bound what a batch may take of them: what a landing left undone, and what limits leave."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from core.loss_limit_events import NO_LIMIT
from matcher import commands as c
from matcher.state import Exchange

DELAYED: Final = 2
"""Landings until a lower limit is in force: every batch that is on its way, and one more."""


class Slots:
    """By account, micro-USDC: `unapplied` are the sums of what batches did not do."""

    def __init__(self) -> None:
        self.unapplied: Counter[int] = Counter()
        self._limits: dict[int, int] = {}
        self._coming: dict[int, tuple[int, int]] = {}
        self._used: Counter[int] = Counter()

    def bound(self, account: int, limit: int) -> None:
        """An owner limits what a window may take; a higher limit than before is in force at once."""
        if limit >= self._limits.get(account, NO_LIMIT) > NO_LIMIT:
            self._limits[account] = limit
            self._coming.pop(account, None)
        else:
            self._coming[account] = limit, DELAYED

    def turn(self) -> None:
        """A new window begins for all."""
        self._used.clear()

    def land(self, state: Exchange) -> list[c.TakeUnapplied]:
        """The last cut lands: what limits keep from it the first creditors do not get. Returns what pages tell of that."""
        cut, told = state.cut, defaultdict[int, list[tuple[int, int]]](list)
        assert cut is not None
        for id in self._apply(cut.deltas):
            account = state.accounts[id]
            told[account.page].append((account.slot, self.unapplied[id]))
        for owner, (limit, landings) in list(self._coming.items()):
            if landings > 1:
                self._coming[owner] = limit, landings - 1
            else:
                self._limits[owner] = limit
                del self._coming[owner]
        return [c.TakeUnapplied(cut.batch, page, tuple(slots)) for page, slots in sorted(told.items())]

    def _apply(self, deltas: Mapping[int, int]) -> list[int]:
        """Take and give what may be; the accounts for which it was not all."""
        changed, short = [], 0
        for id, delta in sorted(deltas.items()):
            if delta < 0 and id in self._limits:
                taken = min(-delta, max(0, self._limits[id] - self._used[id]))
                self._used[id] += taken
                if taken < -delta:
                    self.unapplied[id] += delta + taken
                    short -= delta + taken
                    changed.append(id)
        for id, delta in sorted(deltas.items()):
            if delta > 0:
                held_back = min(delta, short)
                self._used[id] = max(0, self._used[id] - delta + held_back)
                if held_back:
                    self.unapplied[id] += held_back
                    short -= held_back
                    changed.append(id)
        return changed

    def seen(self) -> tuple[c.LimitedSlot, ...]:
        """What the slots with a limit show."""
        return tuple(
            c.LimitedSlot(id, limit, max(0, limit - self._used[id]), self.unapplied[id])
            for id in sorted(self._limits.keys() | self._coming.keys())
            for limit in (self._lowest(id),)
        )

    def _lowest(self, account: int) -> int:
        """The lowest limit that is in force or to come."""
        limits = [self._coming[account][0]] if account in self._coming else []
        return min([*limits, self._limits[account]]) if account in self._limits else limits[0]
