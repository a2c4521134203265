"""How long a difference between the sides has stood: in how many readings in a row, none of them from before an operator's release."""

from collections.abc import Iterable
from typing import Final

READS: Final = 5
"""A difference is one only when it stands in so many reads in a row: nodes answer for slightly different moments."""


class Standing:
    """The readings of one comparison that did not agree."""

    def __init__(self) -> None:
        self._reads = 0
        self._accounts: set[int] | None = None
        self._held = False

    @property
    def counts(self) -> bool:
        """Whether the difference has stood long enough to be one."""
        return self._reads >= READS

    def differs(self, accounts: Iterable[int], anyhow: bool) -> None:
        """One more reading in which these accounts differ; with `anyhow` the totals do, whichever accounts it are."""
        named = set(accounts)
        still = named if self._accounts is None else self._accounts & named
        self._reads = self._reads + 1 if still or anyhow else 0
        self._accounts = still or None

    def hear(self, held: str) -> None:
        """Why the engine now says that settlement is held, or nothing. When an operator has let it go on, what was read before is
        explained, and counts for nothing."""
        if self._held and not held:
            self._reads, self._accounts = 0, None
        self._held = bool(held)
