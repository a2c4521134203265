"""Orders of vaults at outside venues, and the vaults' numbered events. Every function is one transaction and safe to repeat."""

from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.backing import Bound
from core.market import Side
from ledger.tables_venues import WAITING, vault_events, vault_streams, venue_orders
from ledger.venue_exposure import exposures_of


class Standing(StrEnum):
    """How far an order has got. Stable."""

    ACCEPTED = "accepted"
    """By the rules; the venue has not heard of it."""
    SENT = "sent"
    """The venue may have it, or may not."""
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    """Ended otherwise; part of it may have filled."""
    REJECTED = "rejected"
    """Taken by the venue and then refused: nothing filled."""
    REFUSED = "refused"
    """By the rules or by the venue: nothing happened."""
    NOT_SENT = "not_sent"
    """Given up because the venue could not be reached in time: nothing happened, and nothing will."""


ENDED: Final = frozenset(
    {Standing.FILLED, Standing.CANCELLED, Standing.REJECTED, Standing.REFUSED, Standing.NOT_SENT}
)


class StoredOrder(NamedTuple):
    """One order, as `ledger.tables_venues` has it; sizes and prices in 1e-8."""

    ticket: str
    vault: str
    venue: str
    symbol: str
    client_id: str
    venue_client_id: str
    venue_order_id: str
    placed_by: str
    side: int
    size: int
    order_type: str
    limit_price: int
    time_in_force: str
    reduce_only: int
    leverage: int
    status: str
    filled: int
    code: str
    words: str
    at: int
    changed_at: int
    not_after: int


_COLUMNS: Final = [venue_orders.c[name] for name in StoredOrder._fields]


class OpenLimit(NamedTuple):
    """How many of a vault's orders may wait at the same time, and what one more is refused with."""

    most: int
    code: str
    words: str


class BoundBy(NamedTuple):
    """How much a vault's orders and positions at a venue may come to, and what is refused with that would be more."""

    bound: Bound
    code: str
    words: str


class VenueOrders:
    """The orders' part of the ledger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def order(self, ticket: str) -> StoredOrder | None:
        async with self._engine.connect() as connection:
            return await stored(connection, ticket)

    async def waiting(self, vault: str, venue: str) -> list[StoredOrder]:
        """Those that have not ended, in the order of acceptance."""
        o = venue_orders.c
        wanted = select(*_COLUMNS).where(WAITING, o.vault == vault, o.venue == venue).order_by(o.number)
        async with self._engine.connect() as connection:
            return [StoredOrder(*row) for row in await connection.execute(wanted)]

    async def left(self, since: int) -> list[StoredOrder]:
        """Those of all vaults that have not ended, and to which nothing has happened after an instant."""
        o = venue_orders.c
        wanted = select(*_COLUMNS).where(WAITING, o.changed_at <= since).order_by(o.number)
        async with self._engine.connect() as connection:
            return [StoredOrder(*row) for row in await connection.execute(wanted)]

    async def accept(
        self, order: StoredOrder, limit: OpenLimit | None = None, most: BoundBy | None = None
    ) -> StoredOrder | None:
        """Store an order that is accepted or refused; one that is stored already is returned as it is.

        One that is accepted is stored as refused where it would be more than `most`, or so many of its vault have not ended. None, and
        nothing done, where the vault has something at the venue by now that `most` has no price of: judge it again.
        """
        async with self._engine.begin() as connection:
            # Of two at the same time the second counts the first.
            await take_turn(connection, order.vault)
            found = await stored(connection, order.ticket)
            if found is not None:
                return found
            if order.status == Standing.ACCEPTED:
                carried = most is None or await _carried(connection, order, most.bound)
                if carried is None:
                    return None
                if most is not None and not carried:
                    order = _refused(order, most.code, most.words)
                elif limit is not None and await _waiting(connection, order.vault) >= limit.most:
                    order = _refused(order, limit.code, limit.words)
            await _added(connection, order)
            return order

    async def give_up(self, order: StoredOrder) -> StoredOrder:
        """End an order of which the venue has nothing as `order` says; as it stands then, which is otherwise where somebody is
        sending it, or it had ended.

        One that nobody has stored yet is stored so: whoever still judges it finds that it has ended, and sends nothing.
        """
        now = venue_orders.c
        async with self._engine.begin() as connection:
            await take_turn(connection, order.vault)
            if not await _added(connection, order):
                ended = (
                    update(venue_orders)
                    .where(now.ticket == order.ticket, now.status == Standing.ACCEPTED)
                    .values(
                        status=order.status, code=order.code, words=order.words, changed_at=order.changed_at
                    )
                )
                await _told(connection, ended.returning(*_COLUMNS), order.changed_at)
            return await _found(connection, order.ticket)

    async def move(
        self,
        ticket: str,
        before: Standing,
        after: Standing,
        at: int,
        code: str = "",
        words: str = "",
        since: int | None = None,
    ) -> bool:
        """Whether the order stood at `before`, from the instant `since` where that is said, and now is at `after`.

        Of several who ask one gets a yes.
        """
        now = venue_orders.c
        async with self._engine.begin() as connection:
            moved = (
                update(venue_orders)
                .where(now.ticket == ticket, now.status == before)
                .where(now.changed_at == (now.changed_at if since is None else since))
                .values(status=after, code=code, words=words, changed_at=at)
            )
            await _turn_of(connection, ticket)
            return await _told(connection, moved.returning(*_COLUMNS), at)

    async def advance(
        self, ticket: str, after: Standing, at: int, venue_order_id: str = "", code: str = "", words: str = ""
    ) -> None:
        """Write down how the order stands by the venue or by whoever gave it up. What has ended stays as it ended."""
        now = venue_orders.c
        async with self._engine.begin() as connection:
            advanced = (
                update(venue_orders)
                .where(now.ticket == ticket, now.status.not_in(ENDED))
                .where((now.status != after) | (now.venue_order_id != (venue_order_id or now.venue_order_id)))
                .values(
                    status=after,
                    venue_order_id=venue_order_id or now.venue_order_id,
                    code=code,
                    words=words,
                    changed_at=at,
                )
            )
            await _turn_of(connection, ticket)
            await _told(connection, advanced.returning(*_COLUMNS), at)


async def stored(connection: AsyncConnection, ticket: str) -> StoredOrder | None:
    row = (await connection.execute(select(*_COLUMNS).where(venue_orders.c.ticket == ticket))).first()
    return None if row is None else StoredOrder(*row)


async def _carried(connection: AsyncConnection, order: StoredOrder, bound: Bound) -> bool | None:
    exposures = await exposures_of(connection, order.vault, order.venue)
    return bound.carries(exposures, order.symbol, Side(order.side), order.size)


async def _waiting(connection: AsyncConnection, vault: str) -> int:
    """How many of the vault's orders have not ended."""
    counted = select(func.count()).where(WAITING, venue_orders.c.vault == vault)
    return int((await connection.execute(counted)).scalar_one())


def _refused(order: StoredOrder, code: str, words: str) -> StoredOrder:
    return order._replace(status=Standing.REFUSED.value, venue_client_id="", code=code, words=words)


async def _found(connection: AsyncConnection, ticket: str) -> StoredOrder:
    found = await stored(connection, ticket)
    assert found is not None
    return found


async def _added(connection: AsyncConnection, order: StoredOrder) -> bool:
    """Whether the ledger did not have it; then it is an event."""
    row = insert(venue_orders).values(**order._asdict()).on_conflict_do_nothing()
    added = (await connection.execute(row.returning(venue_orders.c.ticket))).first()
    if added is not None:
        await tell(connection, order.vault, order.at, [("order", shown(order))])
    return added is not None


async def _told(connection: AsyncConnection, changed: Any, at: int) -> bool:
    """Whether the statement changed an order, which then is an event."""
    row = (await connection.execute(changed)).first()
    if row is None:
        return False
    order = StoredOrder(*row)
    await tell(connection, order.vault, at, [("order", shown(order))])
    return True


async def take_turn(connection: AsyncConnection, vault: str) -> None:
    """Wait for whoever else changes the vault's orders or positions: what is read of them from here on is as of the end of its stream.

    Before the first of them that a transaction locks: who has one and waits for the turn, while another has the turn and waits for
    that one, waits for ever.
    """
    turn = insert(vault_streams).values(vault=vault, head=0)
    await connection.execute(
        turn.on_conflict_do_update(index_elements=["vault"], set_={"head": vault_streams.c.head})
    )


async def _turn_of(connection: AsyncConnection, ticket: str) -> None:
    """As `take_turn`, for the vault of an order, where there is such a one: an order never changes its vault."""
    vault = (
        await connection.execute(select(venue_orders.c.vault).where(venue_orders.c.ticket == ticket))
    ).scalar()
    if vault is not None:
        await take_turn(connection, vault)


async def tell(
    connection: AsyncConnection, vault: str, at: int, events: list[tuple[str, dict[str, Any]]]
) -> None:
    """Append events to the vault's stream, the last thing in a transaction that has taken the vault's turn."""
    counted = insert(vault_streams).values(vault=vault, head=len(events))
    counted = counted.on_conflict_do_update(
        index_elements=["vault"], set_={"head": vault_streams.c.head + len(events)}
    )
    head = (await connection.execute(counted.returning(vault_streams.c.head))).scalar_one()
    rows = [
        {"vault": vault, "number": head - len(events) + place, "kind": kind, "payload": payload, "at": at}
        for place, (kind, payload) in enumerate(events, 1)
    ]
    await connection.execute(insert(vault_events), rows)


def shown(order: StoredOrder) -> dict[str, Any]:
    """An order as an event has it: all of it, so that whoever missed the earlier ones misses nothing."""
    return order._asdict()
