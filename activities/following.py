"""Following orders that venues have, until they have ended with all of their fills in the ledger."""

from collections.abc import Callable
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeats, pause
from activities.orders import VENUE_SILENT, OrderFacts, ended_as, facts_of, kept, told
from activities.venue_books import Drivers, VenueBooks
from ledger.venue_orders import ENDED, StoredOrder, VenueOrders
from venues.driver import OrderStatus

FIRST_LOOK_S: Final = 0.2
LAST_LOOK_S: Final = 5.0
LOOKS: Final = 30
"""Of a step that follows an order: about two minutes."""


class FollowingActivities:
    """Over the ledger and the venues' drivers. Each order that waits takes up one of these steps nearly all the time."""

    def __init__(
        self, orders: VenueOrders, books: VenueBooks, drivers: Drivers, clock: Callable[[], int]
    ) -> None:
        self._orders = orders
        self._books = books
        self._drivers = drivers
        self._clock = clock

    @activity.defn
    async def follow_order(self, ticket: str, looks: int) -> OrderFacts:
        """Record its fills as they come, until it has ended with all of them recorded, or for so many looks.

        Fails with type venue_unavailable while the venue does not say.
        """
        wait = FIRST_LOOK_S
        # A venue may take longer to answer than an activity may be silent.
        async with heartbeats():
            order = await kept(self._orders, ticket)
            for look in range(looks):
                order = await self._look(order)
                if order.status in ENDED or look == looks - 1 or not await pause(wait):
                    break
                wait = min(wait * 2, LAST_LOOK_S)
            return facts_of(order)

    async def _look(self, order: StoredOrder) -> StoredOrder:
        """As it stands after one look at the venue: first how it ended, then the fills until then."""
        if order.status in ENDED:
            return order
        driver = await told(self._drivers.driver(order.vault, order.venue))
        state = await told(driver.order(order.venue_client_id, order.symbol))
        await told(self._books.collect(order.vault, order.venue))
        if state is None:
            raise ApplicationError("the venue has forgotten an order that it took", type=VENUE_SILENT)
        order = await kept(self._orders, order.ticket)
        if state.status is not OrderStatus.OPEN and order.filled >= state.filled:
            order = await ended_as(self._orders, order, state, self._clock())
        return order
