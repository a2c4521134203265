"""Steps of an order at a venue. Only `place_order` sends one, only while the ledger says that nobody has, and never twice.

What may have been sent is resolved by asking the venue under the client id that is derived from the ticket's id. "Not there" counts
only when a lost request can not come any more.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeats
from activities.order_rules import (
    ACCOUNT_MISSING,
    CLIENT_ID_USED,
    NOT_RUN_HERE,
    OrderAsked,
    OrderRules,
    open_limit,
    stands_for,
    unsent,
)
from activities.venue_books import Drivers, VenueBooks
from core.market import Side
from core.quantities import SECOND, Nanos
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce
from ledger.venue_orders import ENDED, Standing, StoredOrder, VenueOrders
from venues.driver import (
    Acknowledged,
    Cancelled,
    Driver,
    OrderState,
    OrderStatus,
    Reason,
    Refused,
    VenueOrder,
)
from venues.errors import AccountMissing, Unavailable, Unknown, VenueError

PLACED: Final = "placed"
"""The venue or the rules have answered."""
UNSENT: Final = "unsent"
"""The venue has no order of this ticket, and none is on its way."""
UNKNOWN: Final = "unknown"
"""The venue may have it."""

SKEW: Final = 2 * SECOND
"""How far a venue's clock may be behind ours when a lost order expires by it."""
LATER: Final = frozenset({Reason.RATE_LIMITED, Reason.BUSY, Reason.TOO_LATE})
"""After these the same order is taken in a moment, as long as it may be sent."""
VENUE_SILENT: Final = "venue_unavailable"
TOO_LATE: Final = "too_late"
"""The latest time of an order had come before it could be sent."""
FORGOTTEN: Final = "venue_forgot_order"
"""An order was taken back of which its venue knew no more whether there was anything to take back."""
FORGOTTEN_AFTER: Final = 300 * SECOND
"""What a venue took or filled so lately it may only not tell yet."""

Told = TypeVar("Told")


@dataclass
class OrderFacts:
    """How an order stands: `status` is a `ledger.venue_orders.Standing`, sizes in 1e-8. `code` and `words` say why it was refused."""

    ticket: str
    venue: str
    symbol: str
    side: int
    size: int
    status: str
    filled: int
    venue_order_id: str = ""
    code: str = ""
    words: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass
class Step:
    """What came of trying to place an order. `until` (nanoseconds, 0: nobody says): from then on a lost one can not come any more.

    `code` is why it was not sent.
    """

    kind: str
    facts: OrderFacts | None = None
    until: int = 0
    words: str = ""
    code: str = ""


class OrderActivities:
    """Over the ledger and the venues' drivers."""

    def __init__(
        self,
        orders: VenueOrders,
        rules: OrderRules,
        books: VenueBooks,
        drivers: Drivers,
        clock: Callable[[], int],
    ) -> None:
        self._orders = orders
        self._rules = rules
        self._books = books
        self._drivers = drivers
        self._clock = clock

    @activity.defn
    async def place_order(self, asked: OrderAsked, before: int, not_after: int = 0) -> Step:
        """Judge, keep, send, all `before` an instant: who stood still until then sends nothing, so whoever asks after it may believe
        that this try is over. `not_after` is the order's own latest time, of all tries. What was decided since it was kept, as that
        the vault is paused, counts for each of them.

        Whatever ends this before it answers: `resolve_order` says what became of it.
        """
        async with heartbeats():
            order = await self._orders.order(asked.ticket)
            if order is None:
                try:
                    order = await self._kept(asked, not_after)
                except VenueError as silent:
                    return Step(UNSENT, words=str(silent), code=VENUE_SILENT)
            if not stands_for(order, asked):
                # Nobody remembers that one but the ledger.
                return Step(PLACED, _used(asked))
            if order.status != Standing.ACCEPTED:
                return Step(UNKNOWN if order.status == Standing.SENT else PLACED, facts_of(order))
            try:
                driver = await self._drivers.driver(order.vault, order.venue)
                await self._books.begin(order.vault, order.venue)
            except AccountMissing as missing:
                return Step(UNSENT, words=str(missing), code=ACCOUNT_MISSING)
            except VenueError as silent:
                return Step(UNSENT, words=str(silent), code=VENUE_SILENT)
            refused = await self._rules.no_more(order)
            before, now = min(before, order.not_after or before), self._clock()
            if refused is not None:
                await self._orders.move(order.ticket, Standing.ACCEPTED, Standing.REFUSED, now, *refused)
                order = await kept(self._orders, order.ticket)
                return Step(PLACED if order.status in ENDED else UNKNOWN, facts_of(order))
            if now >= before:
                return Step(UNSENT, words="it is too late to send it", code=TOO_LATE)
            if not await self._orders.move(order.ticket, Standing.ACCEPTED, Standing.SENT, now):
                return Step(UNKNOWN, words="another try sends it")
            order = order._replace(changed_at=now)
            try:
                answer = await driver.submit(_venue_order(order, Nanos(before)))
            except Unavailable as silent:
                return await self._unsent(order, str(silent), VENUE_SILENT)
            except Unknown as lost:
                return Step(UNKNOWN, until=lost.until or 0, words=str(lost))
            return await self._answered(order, answer)

    @activity.defn
    async def resolve_order(self, ticket: str, until: int) -> Step:
        """What became of an order that may have been sent; `unknown` as long as it may still come.

        Fails with type venue_unavailable while the venue does not say.
        """
        async with heartbeats():
            order = await self._orders.order(ticket)
            if order is None or order.status == Standing.ACCEPTED:
                return Step(UNSENT, code=TOO_LATE)
            if order.status != Standing.SENT:
                return Step(PLACED, facts_of(order))
            driver = await told(self._drivers.driver(order.vault, order.venue))
            # Before the question: until its answer is here the venue may have taken what it did not have when it judged it.
            asked = self._clock()
            state = await told(driver.order(order.venue_client_id, order.symbol, order.at))
            if state is not None:
                return Step(PLACED, await self._stands(order, state))
            if asked < until + SKEW:
                return Step(
                    UNKNOWN, until=until, words="the venue does not have it, and it may be on its way"
                )
            return await self._unsent(order, "the venue never got it", TOO_LATE)

    @activity.defn
    async def give_up_order(self, asked: OrderAsked, words: str, code: str = VENUE_SILENT) -> Step:
        """End an order that was not sent, for the reason `code`: a try that still judges it finds it ended.

        `unknown` where one is sending it after all.
        """
        order = await self._orders.give_up(unsent(asked, Standing.NOT_SENT, code, words, self._clock()))
        if not stands_for(order, asked):
            return Step(PLACED, _used(asked))
        return Step(UNKNOWN if order.status == Standing.SENT else PLACED, facts_of(order))

    @activity.defn
    async def cancel_order(self, ticket: str) -> str:
        """Have the venue take an order back; its code where it refuses. One that has ended is as good as cancelled.

        Fails with type venue_unavailable while the venue does not say: asking again does no harm.
        """
        async with heartbeats():
            order = await kept(self._orders, ticket)
            if order.status in ENDED:
                return ""
            driver = await told(self._drivers.driver(order.vault, order.venue))
            answer = await told(driver.cancel(order.venue_client_id, order.symbol))
            if isinstance(answer, Refused) and answer.reason is Reason.ORDER_UNKNOWN:
                await self._ended_where_forgotten(order, driver)
                return ""
            if isinstance(answer, Cancelled):
                return ""
            if answer.reason in LATER:
                raise ApplicationError(answer.words, type=VENUE_SILENT)
            return answer.reason.value

    async def _ended_where_forgotten(self, order: StoredOrder, driver: Driver) -> None:
        """End an order that the venue took, and knows nothing of any more: nothing of it waits there, and whatever fills of it are
        told are counted as before."""
        if order.status != Standing.OPEN or self._clock() - order.changed_at < FORGOTTEN_AFTER:
            return
        if await told(driver.order(order.venue_client_id, order.symbol, order.at)) is None:
            await told(self._books.collect(order.vault, order.venue))
            words = "The venue has nothing to take back, and knows the order no more; its fills until then are counted."
            await self._orders.advance(order.ticket, Standing.CANCELLED, self._clock(), "", FORGOTTEN, words)

    async def _kept(self, asked: OrderAsked, not_after: int) -> StoredOrder:
        """Judged and kept; judged again where the vault has something else there by the time when it is kept."""
        order = None
        while order is None:
            judged, most = await self._rules.judged(asked, self._name, not_after)
            order = await self._orders.accept(judged, open_limit(asked), most)
        return order

    async def _answered(self, order: StoredOrder, answer: Acknowledged | Refused) -> Step:
        if isinstance(answer, Acknowledged):
            return Step(PLACED, await self._stands(order, answer.order))
        if answer.reason in LATER:
            code = TOO_LATE if answer.reason is Reason.TOO_LATE else VENUE_SILENT
            return await self._unsent(order, answer.words, code)
        if answer.reason is Reason.CLIENT_ID_USED:
            # Then the order is there, whoever sent it.
            return Step(UNKNOWN, words=answer.words)
        said = answer.reason.value, answer.words
        await self._orders.move(
            order.ticket, Standing.SENT, Standing.REFUSED, self._clock(), *said, order.changed_at
        )
        order = await kept(self._orders, order.ticket)
        return Step(PLACED if order.status in ENDED else UNKNOWN, facts_of(order))

    async def _unsent(self, order: StoredOrder, words: str, code: str) -> Step:
        """Let another try send it; one that stood still until another has begun says nothing about that one."""
        since = order.changed_at
        await self._orders.move(order.ticket, Standing.SENT, Standing.ACCEPTED, self._clock(), since=since)
        return Step(UNSENT, words=words, code=code)

    async def _stands(self, order: StoredOrder, state: OrderState) -> OrderFacts:
        """Write down that the venue has it: the ledger lets it end when its fills are recorded. What the venue says.

        One that has ended without any fill has nothing to wait for, and the venue may never be able to say more of it.
        """
        if state.status is not OrderStatus.OPEN and state.filled == 0:
            return facts_of(await ended_as(self._orders, order, state, self._clock()))
        await self._orders.advance(order.ticket, Standing.OPEN, self._clock(), state.venue_id)
        return facts_by(order, state)

    async def _name(self, vault: str, venue: str, ticket: str) -> str:
        return (await self._drivers.driver(vault, venue)).client_id(ticket)


_STANDINGS: Final = {
    OrderStatus.OPEN: Standing.OPEN,
    OrderStatus.FILLED: Standing.FILLED,
    OrderStatus.CANCELLED: Standing.CANCELLED,
    OrderStatus.REJECTED: Standing.REJECTED,
}


async def told(asking: Awaitable[Told]) -> Told:
    """What a venue says; that it does not is told to Temporal by its code, and asked again."""
    try:
        return await asking
    except VenueError as silent:
        raise ApplicationError(str(silent), type=VENUE_SILENT) from silent


async def ended_as(orders: VenueOrders, order: StoredOrder, state: OrderState, at: int) -> StoredOrder:
    """The order once it is written down that it ended as the venue says."""
    why = ("", "") if state.reason is None else (state.reason.value, state.words)
    await orders.advance(order.ticket, _STANDINGS[state.status], at, state.venue_id, *why)
    return await kept(orders, order.ticket)


async def kept(orders: VenueOrders, ticket: str) -> StoredOrder:
    """An order that the ledger is known to have."""
    order = await orders.order(ticket)
    assert order is not None
    return order


def facts_of(order: StoredOrder) -> OrderFacts:
    """How an order stands by the ledger."""
    return OrderFacts(**{one.name: getattr(order, one.name) for one in fields(OrderFacts)})


def facts_by(order: StoredOrder, state: OrderState) -> OrderFacts:
    """How an order stands by the venue, of which the ledger may not know yet."""
    facts = facts_of(order)
    facts.status, facts.filled, facts.venue_order_id = (
        _STANDINGS[state.status].value,
        state.filled,
        state.venue_id,
    )
    return facts


def _used(asked: OrderAsked) -> OrderFacts:
    terms = asked.ticket, asked.venue, asked.symbol, asked.side, asked.size
    said = CLIENT_ID_USED, NOT_RUN_HERE[CLIENT_ID_USED]
    return OrderFacts(*terms, Standing.REFUSED.value, 0, "", *said)


def _venue_order(order: StoredOrder, not_after: Nanos) -> VenueOrder:
    return VenueOrder(
        order.venue_client_id,
        order.symbol,
        Side(order.side),
        SizeE8(order.size),
        OrderType(order.order_type),
        PriceE8(order.limit_price) if order.limit_price else None,
        TimeInForce(order.time_in_force),
        bool(order.reduce_only),
        order.leverage or None,
        not_after,
    )
