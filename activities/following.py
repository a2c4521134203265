"""Following orders that venues have, until they have ended with all of their fills in the ledger."""

import time
from collections.abc import Awaitable
from typing import Final

from temporalio import activity

from activities.account_looks import AccountLooks
from activities.heartbeats import heartbeats, pause
from activities.orders import OrderFacts, facts_of, kept, told
from ledger.venue_orders import ENDED, StoredOrder, VenueOrders
from venues.budget import Turn, looking
from venues.errors import NotAsked

FIRST_LOOK_S: Final = 0.2
LAST_LOOK_S: Final = 5.0
LOOKS: Final = 30
"""Of a step that follows an order: about two minutes."""


class FollowingActivities:
    """Over the ledger and looks at venues. Each order that waits takes up one of these steps nearly all the time."""

    def __init__(self, orders: VenueOrders, looks: AccountLooks) -> None:
        self._orders = orders
        self._looks = looks

    @activity.defn
    async def follow_order(self, ticket: str, looks: int) -> OrderFacts:
        """Record its fills as they come, until it has ended with all of them recorded, or for so many looks.

        A single look is one that somebody waits for. Of more, all but the first are shared with whoever follows another order of the
        account, and all leave what the venue allows to orders. Fails with type venue_unavailable while the venue does not say.
        """
        # A venue may take longer to answer than an activity may be silent.
        async with heartbeats():
            order = await kept(self._orders, ticket)
            if order.status in ENDED:
                return facts_of(order)
            if looks == 1:
                return facts_of(await told(self._looks.at_one(order)))
            wait = FIRST_LOOK_S
            with looking(Turn.FOLLOWING):
                order = await told(_or_unseen(self._looks.at_one(order), order))
                for _ in range(looks - 1):
                    known_at = time.monotonic()
                    if order.status in ENDED or not await pause(wait):
                        break
                    # What anybody has looked at meanwhile serves as well.
                    order = await told(_or_unseen(self._looks.at_all(order, known_at), order))
                    wait = min(wait * 2, LAST_LOOK_S)
            return facts_of(order)


async def _or_unseen(look: Awaitable[StoredOrder], order: StoredOrder) -> StoredOrder:
    """The order as it was where nobody may look for now: the next time there may be room, and nothing is wrong with its venue."""
    try:
        return await look
    except NotAsked:
        return order
