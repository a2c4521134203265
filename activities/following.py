"""Following orders that venues have, until they have ended with all of their fills in the ledger."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from temporalio import activity

from activities.account_looks import AccountLooks
from activities.account_streams import AccountStreams, Ear
from activities.heartbeats import heartbeats, pause
from activities.orders import OrderFacts, facts_by, facts_of, kept, told
from ledger.venue_orders import ENDED, StoredOrder, VenueOrders
from venues.budget import Turn, looking
from venues.errors import NotAsked

FIRST_LOOK_S: Final = 0.2
LAST_LOOK_S: Final = 5.0
FIRST_LOOKS: Final = 2
"""Of a step that looks at an order that was just sent."""
LOOKS: Final = 30
"""Of a step that follows an order that waits: as many as there are in two minutes where nothing stirs."""
FOLLOWED_S: Final = 120.0
"""Such a step waits for none after so long, however many it was."""
RECORDED_S: Final = 3.0
"""Whoever took an order back waits so long for its fills to be recorded, and is told then what the venue says of them."""


class FollowingActivities:
    """Over the ledger, looks at venues, and their streams. Each order that waits takes up one of these steps nearly all the time."""

    def __init__(self, orders: VenueOrders, looks: AccountLooks, streams: AccountStreams) -> None:
        self._orders = orders
        self._looks = looks
        self._streams = streams

    @activity.defn
    async def follow_order(self, ticket: str, looks: int) -> OrderFacts:
        """Record its fills as they come, until it has ended with all of them recorded, or for so many looks.

        A single look is one that somebody waits for, and never waits itself. Fewer than `LOOKS` are for an order that was just sent,
        and go before all who follow. Of more, each is shared with whoever follows another order of the account, and waits until there
        is room: the more accounts have orders that wait, the seldomer each is looked at. What stirs in the account is looked at
        soon, by how often that is looked at at all. Fails with type venue_unavailable while the venue does not say.
        """
        # A venue may take longer to answer than an activity may be silent.
        async with heartbeats():
            order = await kept(self._orders, ticket)
            if order.status in ENDED:
                return facts_of(order)
            if looks == 1:
                return await self._awaited(order)
            if looks < LOOKS:
                return await self._looked_after(order, looks)
            with self._streams.heard((order.vault, order.venue)) as ear:
                return await self._followed(order, ear)

    async def _looked_after(self, order: StoredOrder, looks: int) -> OrderFacts:
        """How it stands after at most so many looks at it alone."""
        with looking(Turn.SOON):
            for number in range(looks):
                if number and not await pause(FIRST_LOOK_S):
                    break
                order = await told(_or_unseen(self._looks.at_one(order), order))
                if order.status in ENDED:
                    break
        return facts_of(order)

    async def _followed(self, order: StoredOrder, ear: Ear) -> OrderFacts:
        """How it stands after two minutes of looks that it shares with the account's other orders."""
        wait, begun = FIRST_LOOK_S, time.monotonic()
        since = begun
        with looking(Turn.FOLLOWING):
            while True:
                order = await told(_or_unseen(self._looks.at_all(order, since), order))
                # What anybody looks at from now on serves as well.
                since = time.monotonic()
                if (
                    order.status in ENDED
                    or since - begun > FOLLOWED_S
                    or not await pause(wait, until=ear.news)
                ):
                    return facts_of(order)
                wait = min(wait * 2, LAST_LOOK_S)
                if ear.news.is_set():
                    ear.news.clear()
                    since = max(since, ear.at)

    async def _awaited(self, order: StoredOrder) -> OrderFacts:
        """How it stands, at once: what the venue says where that is not recorded by then."""
        state = await told(self._looks.state(order))

        async def recorded() -> OrderFacts:
            try:
                async with asyncio.timeout(RECORDED_S):
                    return facts_of(await self._looks.taken_in(order, state))
            except (TimeoutError, NotAsked):
                return facts_by(order, state)

        return await told(recorded())


async def _or_unseen(look: Awaitable[StoredOrder], order: StoredOrder) -> StoredOrder:
    """The order as it was where nobody may look for now: the next time there may be room, and nothing is wrong with its venue."""
    try:
        return await look
    except NotAsked:
        return order
