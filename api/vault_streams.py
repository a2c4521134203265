"""Which vaults have new events: one question for all that anybody follows, twice a second and only while somebody does."""

import asyncio
from typing import TYPE_CHECKING, Final

from api.quant import VaultTrading
from api.streams import HistoryUnavailable

if TYPE_CHECKING:
    from api.following import Follower

LOOK_S: Final = 0.5


class VaultStreams:
    """Wakes who follows a vault once that has a new event."""

    def __init__(self, quant: VaultTrading) -> None:
        self._quant = quant
        self._followers: set[Follower] = set()
        self._looking: asyncio.Task[None] | None = None

    def join(self, follower: "Follower") -> None:
        self._followers.add(follower)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def leave(self, follower: "Follower") -> None:
        """From now on it is not woken; that it never joined does no harm."""
        self._followers.discard(follower)
        if not self._followers and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def doubt(self, vault: str) -> None:
        """Have everybody that follows a vault asked again for whether it may."""
        for follower in self._followers:
            if follower.vault == vault:
                follower.doubted()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                heads = await self._quant.heads({one.vault for one in self._followers})
            except HistoryUnavailable:
                continue  # It comes back, or a follower that asks is told.
            for follower in self._followers:
                follower.moved(heads.get(follower.vault, 0))
