"""Which venues there are, and one driver for each account at each."""

from collections.abc import Awaitable, Callable, Mapping

from core.risk_template import Lifecycle
from venues.driver import Driver

Opening = Callable[[str], Awaitable[Driver]]
"""Opens the driver of one vault's account at a venue."""


class VenueUnknown(ValueError):
    """A name in the settings that no venue has."""


class Registry:
    """Drivers by vault and venue, opened when first asked for. `close` ends them all.

    `close_only` names venues, separated by commas, where positions are only reduced, whatever they themselves would take.
    """

    def __init__(self, venues: Mapping[str, tuple[Lifecycle, Opening]], close_only: str = "") -> None:
        """Raises `VenueUnknown`."""
        self._venues = dict(venues)
        self._close_only = self.allowed(close_only)
        self._drivers: dict[tuple[str, str], Driver] = {}

    @property
    def lifecycles(self) -> dict[str, Lifecycle]:
        """Every venue that there is, for `core.risk_template.refusal`."""
        return {
            venue: Lifecycle.CLOSE_ONLY
            if venue in self._close_only and lifecycle is Lifecycle.ACTIVE
            else lifecycle
            for venue, (lifecycle, _) in self._venues.items()
        }

    def allowed(self, names: str) -> frozenset[str]:
        """The venues in a list separated by commas, as `EXEC_ALLOWED_VENUES` has it. Raises `VenueUnknown`."""
        found = frozenset(filter(None, (name.strip() for name in names.split(","))))
        if unknown := sorted(found - self._venues.keys()):
            known = ", ".join(sorted(self._venues))
            raise VenueUnknown(f"there is no venue {', '.join(unknown)}; there are {known}")
        return found

    async def driver(self, vault: str, venue: str) -> Driver:
        """The driver of a vault's account. Raises `VenueUnknown`, and what opening it raises."""
        if venue not in self._venues:
            raise VenueUnknown(f"there is no venue {venue}")
        known = self._drivers.get((vault, venue))
        if known is not None:
            return known
        opened = await self._venues[venue][1](vault)
        # Somebody else may have opened it meanwhile: there is one, and theirs is in use.
        kept = self._drivers.setdefault((vault, venue), opened)
        if kept is not opened:
            await opened.close()
        return kept

    async def close(self) -> None:
        for driver in self._drivers.values():
            await driver.close()
        self._drivers.clear()
