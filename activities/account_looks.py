"""Looks at venues for orders that wait there: one look at an account serves everybody who waits for one of its orders."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from activities.orders import ended_as, kept
from activities.venue_books import Drivers, VenueBooks
from core.market import Side
from core.tickets import SizeE8
from ledger.venue_orders import ENDED, Standing, StoredOrder, VenueOrders
from venues.budget import Turn, looking
from venues.driver import Driver, OrderState, OrderStatus
from venues.errors import Unavailable, VenueError

APART_S: Final = 0.1
"""For each order that waits in an account, so long lies at least between two looks at it."""
APART_MOST_S: Final = 5.0
AT_ONCE: Final = 8
"""Orders that a venue without lists is asked about at one time."""

Answer = TypeVar("Answer")
Account = tuple[str, str]
States = Mapping[str, OrderState | VenueError]
"""By ticket, how orders stand or why nobody knows."""


class _Call(NamedTuple):
    begun: float
    task: "asyncio.Task[Any]"


class _Shared(Generic[Answer]):
    """Calls by account, each of which serves everybody who asked for one no older than it."""

    def __init__(self) -> None:
        self._last: dict[Account, _Call] = {}

    async def answer(
        self,
        account: Account,
        since: float,
        call: Callable[[Account], Awaitable[Answer]],
        apart_s: float = 0.0,
    ) -> Answer:
        """Of a call that began at `since` (monotonic) or later, and so long after the one before it; whoever gives up keeps nobody
        else from the answer."""
        while True:
            last = self._last.get(account)
            if last is not None and (last.begun >= since or not last.task.done()):
                await asyncio.wait({last.task})
                if last.begun >= since:
                    answer: Answer = last.task.result()
                    return answer
            elif last is not None and (wait := last.begun + apart_s - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            else:
                begun = asyncio.ensure_future(call(account))
                self._last[account] = _Call(time.monotonic(), begun)

    async def close(self) -> None:
        """End those that go on though nobody waits for them any more."""
        tasks = [last.task for last in self._last.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class AccountLooks:
    """Over the ledger and the venues' drivers."""

    def __init__(
        self, orders: VenueOrders, books: VenueBooks, drivers: Drivers, clock: Callable[[], int]
    ) -> None:
        self._orders = orders
        self._books = books
        self._drivers = drivers
        self._clock = clock
        self._looks: _Shared[States] = _Shared()
        self._reads: _Shared[int] = _Shared()
        self._apart: dict[Account, float] = {}

    async def at_one(self, order: StoredOrder) -> StoredOrder:
        """The order after a look at it alone. Raises `VenueError`."""
        return await self.taken_in(order, await self.state(order))

    async def state(self, order: StoredOrder) -> OrderState:
        """How it stands by the venue. Raises `VenueError`."""
        return await _state(await self._drivers.driver(order.vault, order.venue), order)

    async def taken_in(self, order: StoredOrder, state: OrderState) -> StoredOrder:
        """The order once the ledger has what it filled; ended as the venue says where all of that is there. Raises `VenueError`."""
        return (await self._taken_in([(order, state)]))[0]

    async def at_all(self, order: StoredOrder, since: float) -> StoredOrder:
        """The order after a look at its whole account that began at `since` (monotonic) or later. Raises `VenueError`."""
        account = order.vault, order.venue
        apart = self._apart.get(account, 0.0)
        states = await self._looks.answer(account, since, self._look, apart)
        failed = states.get(order.ticket)
        if isinstance(failed, VenueError):
            raise Unavailable(order.venue, str(failed)) from failed
        return await kept(self._orders, order.ticket)

    async def close(self) -> None:
        """End looks that are under way."""
        await self._looks.close()
        await self._reads.close()

    async def _look(self, account: Account) -> States:
        """How all orders stand that wait in the account; the ledger has it then."""
        waiting = [one for one in await self._orders.waiting(*account) if one.status == Standing.OPEN]
        self._apart[account] = min(len(waiting) * APART_S, APART_MOST_S)
        states = await _states(await self._drivers.driver(*account), waiting)
        known = [
            (order, state) for order in waiting if not isinstance(state := states[order.ticket], VenueError)
        ]
        await self._taken_in(known)
        return states

    async def _taken_in(self, found: Sequence[tuple[StoredOrder, OrderState]]) -> list[StoredOrder]:
        """The orders once the ledger has what they filled, and how they ended where all of that is there."""
        behind = [order for order, state in found if order.filled < state.filled]
        if behind:
            # A fill that nobody has recorded is a position that nobody knows of.
            with looking(Turn.SOON):
                await self._reads.answer((behind[0].vault, behind[0].venue), time.monotonic(), self._read)
        taken = []
        for before, state in found:
            order = await kept(self._orders, before.ticket) if behind else before
            if (
                order.status not in ENDED
                and state.status is not OrderStatus.OPEN
                and order.filled >= state.filled
            ):
                order = await ended_as(self._orders, order, state, self._clock())
            taken.append(order)
        return taken

    async def _read(self, account: Account) -> int:
        return await self._books.collect(*account)


async def _states(driver: Driver, orders: Sequence[StoredOrder]) -> States:
    """Of each order; one that cannot be told of says nothing of the others."""
    ask = getattr(driver, "standing", None)
    if ask is not None:
        named = await ask([(order.venue_client_id, order.symbol) for order in orders])
        return {order.ticket: named[order.venue_client_id] or _unheard_of(order) for order in orders}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(order: StoredOrder) -> OrderState | VenueError:
        async with room:
            try:
                return await _state(driver, order)
            except VenueError as silent:
                return silent

    states = await asyncio.gather(*map(one, orders))
    return {order.ticket: state for order, state in zip(orders, states, strict=True)}


async def _state(driver: Driver, order: StoredOrder) -> OrderState:
    state = await driver.order(order.venue_client_id, order.symbol, order.at) or _unheard_of(order)
    if isinstance(state, VenueError):
        raise state
    return state


def _unheard_of(order: StoredOrder) -> OrderState | VenueError:
    """How an order stands that its venue took and tells no more of: filled, where the ledger has all of it."""
    if order.filled < order.size:
        return Unavailable(
            order.venue, "the venue has forgotten an order that it took: taking it back ends it"
        )
    side, size = Side(order.side), SizeE8(order.size)
    known = order.venue_client_id, order.venue_order_id, order.symbol
    return OrderState(*known, side, OrderStatus.FILLED, size, SizeE8(order.filled))
