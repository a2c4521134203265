"""What venues have told of vaults' accounts by now, before something is reckoned from it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import structlog
from temporalio import activity

from activities.heartbeats import heartbeats
from activities.venue_books import VenueBooks
from core.quantities import SECOND
from ledger.venue_fills import SeenAccount, VenueFills
from venues.budget import Turn, looking, patience
from venues.errors import NotAsked, VenueError

_log = structlog.get_logger("nav")
AT_ONCE: Final = 8
"""Accounts that one venue is asked about at one time: a slow one takes none of the others' turns."""
PATIENCE_S: Final = 45.0
"""Who is asked and has not answered by then does not tell."""
ROUND_S: Final = 150.0
"""Who has not been asked by then is not waited for: prices grow old meanwhile. Its turn comes first the next time."""
SEEN_WITHIN: Final = 300 * SECOND
"""Who was not asked in time is no doubt about its vault where the venue told everything so lately: at any comparison of positions."""


class VenueCollectionActivities:
    """Over the ledger and the venues."""

    def __init__(
        self,
        fills: VenueFills,
        books: VenueBooks,
        clock: Callable[[], int] = time.time_ns,
        patience_s: float = PATIENCE_S,
        round_s: float = ROUND_S,
    ) -> None:
        self._fills = fills
        self._books = books
        self._clock = clock
        self._patience_s = patience_s
        self._round_s = round_s

    @activity.defn
    async def collect_fills(self) -> list[str]:
        """Record fills and funding of every account, the longest untold first; sentences on those of which it is not known."""
        async with heartbeats():
            accounts = await self._fills.accounts()
            rooms: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
            with looking(Turn.ROUND):
                tasks = {one: asyncio.create_task(self._account(one, rooms[one.venue])) for one in accounts}
            if tasks:
                _, late = await asyncio.wait(tasks.values(), timeout=self._round_s)
                for task in late:
                    task.cancel()
                await asyncio.wait(tasks.values())
            now = self._clock()
            said = {one: _why_not(one, task, now) for one, task in tasks.items()}
            untold = {(one.vault, one.venue): why for one, why in sorted(said.items()) if why}
            # What they have not told is in no snapshot, so nobody deals at those.
            await self._books.silent(untold)
        silent = [f"{vault} at {venue}: {why}" for (vault, venue), why in untold.items()]
        for sentence in silent:
            _log.warning("a venue does not say what a vault has there", why=sentence)
        return silent

    async def _account(self, account: SeenAccount, room: asyncio.Semaphore) -> str:
        """Why it was not told; empty when it was."""
        while True:
            async with room:
                try:
                    async with patience(self._patience_s):
                        await self._books.collect_all(account.vault, account.venue)
                except NotAsked:
                    # Others go first, and it goes on with what the venue allows by then.
                    continue
                except TimeoutError:
                    return "no answer in time"
                except VenueError as silent:
                    return str(silent)
            return ""


def _why_not(account: SeenAccount, task: "asyncio.Task[str]", now: int) -> str:
    """What nobody expected is wrong with one account, and must not keep the others from being told."""
    if task.cancelled():
        ago = now - account.seen_at
        return "" if ago <= SEEN_WITHIN else "it could not be asked in time, nor in the minutes before"
    error = task.exception()
    if error is None:
        return task.result()
    _log.error("what a vault has at a venue cannot be read", exc_info=error)
    return f"it cannot be read: {type(error).__name__}"
