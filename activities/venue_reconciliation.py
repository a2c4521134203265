"""The comparison of all vaults' positions with the venues', which are right."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import structlog
from temporalio import activity

from activities.heartbeats import heartbeats
from activities.venue_books import VenueBooks
from core.tickets import leg
from ledger.venue_fills import VenueFills
from venues.budget import Turn, looking
from venues.errors import NotAsked, VenueError

_log = structlog.get_logger("orders")
AT_ONCE: Final = 8
"""Accounts that one venue is asked about at one time."""


@dataclass
class VenueComparison:
    """What one comparison found: `differences` are sentences, `silent` says who could not be asked."""

    accounts: int
    differences: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


class VenueReconciliationActivities:
    """Over the ledger and the venues."""

    def __init__(self, fills: VenueFills, books: VenueBooks) -> None:
        self._fills = fills
        self._books = books

    @activity.defn
    async def reconcile_venues(self) -> VenueComparison:
        """Record what the venues have told of every account, and take over the positions that differ."""
        with looking(Turn.ROUND):
            return await self._compared()

    async def _compared(self) -> VenueComparison:
        async with heartbeats():
            accounts = await self._fills.accounts()
            found = VenueComparison(len(accounts))
            rooms: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
            looks = (self._account(vault, venue, found, rooms[venue]) for vault, venue, _ in accounts)
            # What is wrong with one account must not keep the others from being compared.
            ended = await asyncio.gather(*looks, return_exceptions=True)
            for (vault, venue, _), error in zip(accounts, ended, strict=True):
                if isinstance(error, Exception):
                    _log.error("what a vault has at a venue cannot be compared", vault=vault, exc_info=error)
                    found.silent.append(f"{vault}: {venue}: it cannot be read: {type(error).__name__}")
                elif error is not None:
                    raise error
            activity.metric_meter().create_gauge(
                "perpdex_venue_accounts_silent",
                "Accounts whose venue did not say what they hold at the last look",
            ).set(len(found.silent))
            return found

    async def _account(self, vault: str, venue: str, found: VenueComparison, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                differences = await self._books.reconcile(vault, venue)
            except NotAsked:
                # As the one that was told of longest ago it comes first in a minute.
                return
            except VenueError as silent:
                _log.warning("a venue does not say what a vault has there", vault=vault, why=str(silent))
                found.silent.append(f"{vault}: {silent}")
                return
            found.differences += [
                f"{vault} {leg(venue, one.symbol)}: {one.ours} by its fills, {one.theirs} there"
                for one in differences
            ]
