"""Reads of what vaults did at outside venues, page by page, and of their numbered events."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_venues import (
    WAITING,
    vault_events,
    vault_streams,
    venue_differences,
    venue_fills,
    venue_orders,
)
from ledger.venue_fills import held_by as held_by
from ledger.venue_orders import StoredOrder


class NumberedOrder(NamedTuple):
    """An order with its place in the order of acceptance."""

    number: int
    order: StoredOrder


class FillRow(NamedTuple):
    """A recorded fill; `number` is its place in the order of recording, sizes and prices in 1e-8, the fee in micro-USDC."""

    number: int
    venue: str
    fill: str
    ticket: str
    venue_order_id: str
    symbol: str
    side: int
    size: int
    price: int
    fee: int
    at: int


class VaultEvent(NamedTuple):
    """An event of a vault's stream."""

    number: int
    kind: str
    payload: dict[str, Any]
    at: int


class DifferenceRow(NamedTuple):
    """A position that was taken over from a venue."""

    number: int
    venue: str
    symbol: str
    ours: int
    theirs: int
    price: int
    at: int


_ORDER: Final = [venue_orders.c[name] for name in ("number", *StoredOrder._fields)]
_FILL: Final = [venue_fills.c[name] for name in FillRow._fields]
_DIFFERENCE: Final = [venue_differences.c[name] for name in DifferenceRow._fields]


async def orders_before(
    connection: AsyncConnection, vault: str, before: int, limit: int
) -> list[NumberedOrder]:
    """The newest first; `before` 0 begins with the last."""
    wanted = select(*_ORDER).where(venue_orders.c.vault == vault)
    rows = await connection.execute(_page(wanted, venue_orders.c.number, before, limit))
    return [NumberedOrder(number, StoredOrder(*order)) for number, *order in rows]


async def waiting_after(
    connection: AsyncConnection, vault: str, after: int, limit: int
) -> list[NumberedOrder]:
    """Those that have not ended, the oldest first."""
    c = venue_orders.c
    wanted = select(*_ORDER).where(WAITING, c.vault == vault, c.number > after)
    rows = await connection.execute(wanted.order_by(c.number).limit(limit))
    return [NumberedOrder(number, StoredOrder(*order)) for number, *order in rows]


async def standings(connection: AsyncConnection, vault: str, since: int = 0) -> dict[str, dict[str, int]]:
    """How many of a vault's orders stand how, by venue and `ledger.venue_orders.Standing`: of those accepted or refused at an instant
    or later."""
    c = venue_orders.c
    wanted = (
        select(c.venue, c.status, func.count().label("many"))
        .where(c.vault == vault, c.at >= since)
        .group_by(c.venue, c.status)
        .order_by(c.venue, c.status)
    )
    found: dict[str, dict[str, int]] = {}
    for row in await connection.execute(wanted):
        found.setdefault(row.venue, {})[row.status] = row.many
    return found


async def fills_before(connection: AsyncConnection, vault: str, before: int, limit: int) -> list[FillRow]:
    """The newest first; `before` 0 begins with the last."""
    wanted = select(*_FILL).where(venue_fills.c.vault == vault)
    rows = await connection.execute(_page(wanted, venue_fills.c.number, before, limit))
    return [FillRow(*row) for row in rows]


async def differences_before(
    connection: AsyncConnection, vault: str, before: int, limit: int
) -> list[DifferenceRow]:
    """The newest first; `before` 0 begins with the last."""
    wanted = select(*_DIFFERENCE).where(venue_differences.c.vault == vault)
    rows = await connection.execute(_page(wanted, venue_differences.c.number, before, limit))
    return [DifferenceRow(*row) for row in rows]


async def events_after(connection: AsyncConnection, vault: str, after: int, limit: int) -> list[VaultEvent]:
    """The oldest first, without gaps."""
    c = vault_events.c
    wanted = select(c.number, c.kind, c.payload, c.at).where(c.vault == vault, c.number > after)
    rows = await connection.execute(wanted.order_by(c.number).limit(limit))
    return [VaultEvent(*row) for row in rows]


async def head_of(connection: AsyncConnection, vault: str) -> int:
    """Number of the vault's last event, 0 before the first."""
    head = select(func.max(vault_streams.c.head)).where(vault_streams.c.vault == vault)
    return int((await connection.execute(head)).scalar_one() or 0)


async def heads_of(connection: AsyncConnection, vaults: Collection[str]) -> dict[str, int]:
    """Numbers of the last events of those vaults that have any."""
    c = vault_streams.c
    rows = await connection.execute(select(c.vault, c.head).where(c.vault.in_(vaults)))
    return {row.vault: row.head for row in rows}


def _page(wanted: Select[Any], number: Any, before: int, limit: int) -> Select[Any]:
    if before:
        wanted = wanted.where(number < before)
    return wanted.order_by(number.desc()).limit(limit)
