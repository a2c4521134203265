"""Snapshots of what every vault is worth, as of the instant for which they were scheduled."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.nav import NavActivities, NavInstant
    from activities.venue_collection import VenueCollectionActivities
    from workflows.funding import SCHEDULED
    from workflows.steps import must_happen

NAV_SCHEDULE: Final = "nav-snapshots"
"""Id of the Schedule that has snapshots taken. To trigger it takes one of now."""
NAV_EVERY: Final = timedelta(hours=1)
NAV_CATCHUP: Final = timedelta(minutes=5)
"""A snapshot is made up while prices are still about its instant's; later ones would not say what a vault was worth then."""
ALERTS_SHOWN: Final = 100


@dataclass
class NavRound:
    """What the snapshots of an instant (in nanoseconds) came to; `alerts` are the first hundred, as sentences, of `alerts_in_all`.

    `silent` says whose fills were not told: the next snapshots will know of them.
    """

    at: int
    legs: int = 0
    vaults: int = 0
    alerts_in_all: int = 0
    alerts: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        instant = datetime.fromtimestamp(self.at // 10**9, UTC).isoformat()
        lines = [
            f"**{self.vaults} vaults** as of {instant}, {self.legs} legs priced, {self.alerts_in_all} alerts"
        ]
        lines += [f"- {sentence}" for sentence in (*self.silent, *self.alerts)]
        return "\n".join([*lines, f"- **trouble**: {self.trouble}"] if self.trouble else lines)


@workflow.defn
class NavWorkflow:
    """One round of snapshots. It goes by the time it was scheduled for, not by when it runs.

    Prices are asked for first, so that they are of the instant; then venues tell what was filled until it. What is written is written
    once, and each vault has one snapshot for an instant: whatever is repeated, or runs beside it, comes to the same.
    """

    @workflow.init
    def __init__(self) -> None:
        info = workflow.info()
        due = info.typed_search_attributes.get(SCHEDULED) or info.start_time
        self._round = NavRound(_nanoseconds(due))

    @workflow.run
    async def run(self) -> NavRound:
        found = self._round
        self._show()
        await self._price()
        # What was filled until then and is told only now; a leg that comes of it is priced then.
        found.silent = await must_happen(VenueCollectionActivities.collect_fills, on_trouble=self._trouble)
        await self._price()
        after = ""
        while True:
            of = NavInstant(found.at, after)
            part = await must_happen(NavActivities.take_snapshots, of, on_trouble=self._trouble)
            if not part.through:
                return found
            after = part.through
            found.vaults += part.vaults
            found.alerts_in_all += len(part.alerts)
            found.alerts += part.alerts[: ALERTS_SHOWN - len(found.alerts)]
            self._show()

    @workflow.query
    def progress(self) -> NavRound:
        return self._round

    async def _price(self) -> None:
        of = NavInstant(self._round.at)
        self._round.legs += await must_happen(NavActivities.price_legs, of, on_trouble=self._trouble)

    def _trouble(self, sentence: str) -> None:
        self._round.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._round.text())


def _nanoseconds(instant: datetime) -> int:
    # A timestamp is a float, which has not that many digits.
    since = instant - datetime.fromtimestamp(0, UTC)
    return (since // timedelta(microseconds=1)) * 1_000
