"""What venues have told of vaults' accounts by now, before something is reckoned from it."""

import asyncio
from typing import Final

import structlog
from temporalio import activity

from activities.heartbeats import heartbeats
from activities.venue_books import VenueBooks
from ledger.venue_fills import VenueFills
from venues.budget import looking
from venues.errors import VenueError

_log = structlog.get_logger("nav")
AT_ONCE: Final = 8
PATIENCE_S: Final = 45.0
"""Whoever has not answered by then is not waited for: prices grow old meanwhile."""


class VenueCollectionActivities:
    """Over the ledger and the venues."""

    def __init__(self, fills: VenueFills, books: VenueBooks, patience_s: float = PATIENCE_S) -> None:
        self._fills = fills
        self._books = books
        self._patience_s = patience_s

    @activity.defn
    async def collect_fills(self) -> list[str]:
        """Record fills and funding of every account that venues tell of in time; sentences on who did not."""
        async with heartbeats():
            accounts = await self._fills.accounts()
            room = asyncio.Semaphore(AT_ONCE)
            with looking():
                tasks = {one: asyncio.create_task(self._account(*one, room)) for one in accounts}
            if tasks:
                _, late = await asyncio.wait(tasks.values(), timeout=self._patience_s)
                for task in late:
                    task.cancel()
                await asyncio.wait(tasks.values())
            said = {one: _why_not(task) for one, task in tasks.items()}
            untold = {one: why for one, why in said.items() if why}
            # What they have not told is in no snapshot, so nobody deals at those.
            await self._books.silent(untold)
        silent = [f"{vault} at {venue}: {why}" for (vault, venue), why in untold.items()]
        for sentence in silent:
            _log.warning("a venue does not say what a vault has there", why=sentence)
        return silent

    async def _account(self, vault: str, venue: str, room: asyncio.Semaphore) -> str:
        """Why it was not told; empty when it was."""
        async with room:
            try:
                await self._books.collect(vault, venue)
                await self._books.collect_funding(vault, venue)
            except VenueError as silent:
                return str(silent)
        return ""


def _why_not(task: "asyncio.Task[str]") -> str:
    """What nobody expected is wrong with one account, and must not keep the others from being told."""
    if task.cancelled():
        return "no answer in time"
    error = task.exception()
    if error is None:
        return task.result()
    _log.error("what a vault has at a venue cannot be read", exc_info=error)
    return f"it cannot be read: {type(error).__name__}"
