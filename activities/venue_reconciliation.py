"""The comparison of all vaults' positions with the venues', which are right."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from temporalio import activity

from activities.heartbeats import heartbeats
from activities.venue_books import VenueBooks
from core.quantities import SECOND
from core.tickets import leg
from ledger.venue_fills import SeenAccount, VenueFills
from venues.budget import Turn, looking
from venues.errors import NotAsked, VenueError

_log = structlog.get_logger("orders")
AT_ONCE: Final = 8
"""Accounts that one venue is asked about at one time."""
ROUND_S: Final = 300.0
"""Who has not been compared by then comes first in the next comparison."""
COMPARED_WITHIN: Final = 600 * SECOND
"""Who could not be compared for longer, because others needed what the venue allows, is told of like one whose venue is silent."""

Account = tuple[str, str]


@dataclass
class VenueComparison:
    """What one comparison found: `differences` are sentences, `silent` says who could not be asked."""

    accounts: int
    differences: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


class VenueReconciliationActivities:
    """Over the ledger and the venues."""

    def __init__(
        self,
        fills: VenueFills,
        books: VenueBooks,
        clock: Callable[[], int] = time.time_ns,
        round_s: float = ROUND_S,
    ) -> None:
        self._fills = fills
        self._books = books
        self._clock = clock
        self._round_s = round_s
        # Since when, of those whose turn has not come. What the ledger says is of collecting, too, which asks for no positions.
        self._put_off: dict[Account, int] = {}

    @activity.defn
    async def reconcile_venues(self) -> VenueComparison:
        """Record what the venues have told of every account, and take over the positions that differ."""
        async with heartbeats():
            accounts = await self._fills.accounts()
            found = VenueComparison(len(accounts))
            tasks = await self._compared(accounts, found)
            for account, task in tasks.items():
                if task.cancelled():
                    self._not_compared(account, found)
                elif isinstance(error := task.exception(), Exception):
                    # What is wrong with one account must not keep the others from being compared.
                    vault, venue = account
                    _log.error("what a vault has at a venue cannot be compared", vault=vault, exc_info=error)
                    found.silent.append(f"{vault}: {venue}: it cannot be read: {type(error).__name__}")
                elif error is not None:
                    raise error
            activity.metric_meter().create_gauge(
                "perpdex_venue_accounts_silent",
                "Accounts whose venue did not say what they hold at the last look, or could not be asked for ten minutes",
            ).set(len(found.silent))
            return found

    async def _compared(
        self, accounts: list[SeenAccount], found: VenueComparison
    ) -> Mapping[Account, "asyncio.Task[None]"]:
        """Each account's comparison, over or cancelled: the longest put off first, then those that were told of longest ago."""
        rooms: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        known = [(one.vault, one.venue) for one in accounts]
        never = self._clock()
        known.sort(key=lambda one: self._put_off.get(one, never))
        with looking(Turn.ROUND):
            tasks = {one: asyncio.create_task(self._account(one, found, rooms[one[1]])) for one in known}
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=self._round_s)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return tasks

    async def _account(self, account: Account, found: VenueComparison, room: asyncio.Semaphore) -> None:
        vault, venue = account
        async with room:
            try:
                differences = await self._books.reconcile(vault, venue)
            except NotAsked:
                self._not_compared(account, found)
                return
            except VenueError as silent:
                _log.warning("a venue does not say what a vault has there", vault=vault, why=str(silent))
                found.silent.append(f"{vault}: {silent}")
                self._put_off.pop(account, None)
                return
            self._put_off.pop(account, None)
            found.differences += [
                f"{vault} {leg(venue, one.symbol)}: {one.ours} by its fills, {one.theirs} there"
                for one in differences
            ]

    def _not_compared(self, account: Account, found: VenueComparison) -> None:
        """Its turn did not come: that says nothing of it, unless it goes on for long."""
        vault, venue = account
        now = self._clock()
        since = self._put_off.setdefault(account, now)
        if now - since > COMPARED_WITHIN:
            why = f"{vault}: {venue}: not compared for {(now - since) // SECOND} s: others need what the venue allows"
            _log.warning("what a vault has at a venue could not be compared", vault=vault, why=why)
            found.silent.append(why)
