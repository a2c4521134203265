"""Transfers between an account and its sub-accounts, as far as repeats of their keys are still answered."""

from collections import deque
from collections.abc import Iterable, Iterator

from core.subaccount_events import Transferred
from matcher.limits import KEYS_KEPT, TRANSFERS_KEPT


class Transfers:
    """Those of one account and its sub-accounts, oldest first: of the last `KEYS_KEPT`, and the newest `TRANSFERS_KEPT` of them."""

    __slots__ = ("_by_key", "_kept")

    def __init__(self, kept: Iterable[Transferred] = ()) -> None:
        self._kept = deque(kept)
        self._by_key = {event.key: event for event in self._kept}

    def __iter__(self) -> Iterator[Transferred]:
        return iter(self._kept)

    def get(self, key: str) -> Transferred | None:
        return self._by_key.get(key)

    def keep(self, event: Transferred) -> None:
        """Keep the newest one, and forget what is too old or too much."""
        kept = self._kept
        kept.append(event)
        self._by_key[event.key] = event
        while len(kept) > TRANSFERS_KEPT or kept[0].at < event.at - KEYS_KEPT:
            del self._by_key[kept.popleft().key]
