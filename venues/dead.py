"""Venues that have shut down.

Their names stay, because old tickets and positions have them, and every call says what became of them.
"""

from collections.abc import Collection
from typing import Final

from core.risk_template import ENDED, Lifecycle
from venues.driver import (
    Acknowledged,
    Cancelled,
    Fills,
    Mid,
    OrderState,
    Position,
    Reason,
    Refused,
    VenueOrder,
)
from venues.errors import Unavailable

SYNTHETIX_V3: Final = "synthetix_v3"
SYNTHETIX_V3_END: Final = ENDED[SYNTHETIX_V3]


class DeadVenue:
    """`end` says when it shut down, and what to use instead."""

    lifecycle: Final = Lifecycle.DEAD

    def __init__(self, venue: str, end: str) -> None:
        self._venue = venue
        self._end = end

    @property
    def venue(self) -> str:
        return self._venue

    @property
    def account(self) -> str:
        return ""

    def client_id(self, ticket_id: str) -> str:
        return ticket_id

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        return Refused(Reason.VENUE_DEAD, self._end)

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        return Refused(Reason.VENUE_DEAD, self._end)

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        raise Unavailable(self._venue, self._end)

    async def fills(self, cursor: str) -> Fills:
        raise Unavailable(self._venue, self._end)

    async def positions(self) -> dict[str, Position]:
        raise Unavailable(self._venue, self._end)

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        raise Unavailable(self._venue, self._end)

    async def close(self) -> None:
        """Nothing was ever open."""
