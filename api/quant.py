"""What vaults do at outside venues, for the routes: orders through their workflows, everything else from the ledger."""

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from activities.orders import OrderFacts, facts_of
from api.streams import HistoryUnavailable
from ledger.vault_figures import VaultFigures, vault_figures
from ledger.venue_orders import ENDED, StoredOrder, stored
from ledger.venue_reads import (
    FillRow,
    NumberedOrder,
    VaultEvent,
    events_after,
    fills_before,
    head_of,
    heads_of,
    held_by,
    orders_before,
    waiting_after,
)
from workflows.exec_service import ExecService

T = TypeVar("T")


class VaultTrading:
    """`orders` carries tickets out. The reads raise `HistoryUnavailable` when the ledger cannot be reached."""

    def __init__(self, orders: ExecService, pool: AsyncEngine) -> None:
        self.orders = orders
        self._pool = pool

    async def listed(self, vault: str, before: int, limit: int) -> list[NumberedOrder]:
        """Orders, the newest first."""
        return await self._read(lambda connection: orders_before(connection, vault, before, limit))

    async def waiting(self, vault: str, after: int, limit: int) -> list[NumberedOrder]:
        """Orders that have not ended, the oldest first."""
        return await self._read(lambda connection: waiting_after(connection, vault, after, limit))

    async def order(self, vault: str, client_id: str) -> OrderFacts | None:
        """One order as the ledger has it, else as its workflow began or ended; None when nobody has heard of it.

        Raises `OrdersUnavailable` besides.
        """
        facts = await self._stored(vault, client_id)
        return await self.orders.order(vault, client_id) if facts is None else facts

    async def cancel(self, vault: str, client_id: str) -> OrderFacts | None:
        """Take an order back; one that had ended is told as it ended, however long ago. None: there is no such order.

        One that has not ended although nobody works on it any more is taken up first. Raises `OrdersUnavailable` besides.
        """
        facts = await self.orders.cancel(vault, client_id)
        if facts is not None and not facts.ended:
            return facts
        kept = await self._kept(vault, client_id)
        if kept is not None and kept.status not in ENDED:
            return await self.orders.take_back(kept)
        return facts_of(kept) if facts is None and kept is not None else facts

    async def fills(self, vault: str, before: int, limit: int) -> list[FillRow]:
        """The newest first."""
        return await self._read(lambda connection: fills_before(connection, vault, before, limit))

    async def positions(self, vault: str) -> tuple[dict[str, dict[str, int]], int]:
        """Signed sizes by venue and symbol, and the number of the vault's event as of which they are so."""

        async def read(connection: AsyncConnection) -> tuple[dict[str, dict[str, int]], int]:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await held_by(connection, vault), await head_of(connection, vault)

        return await self._read(read)

    async def events(self, vault: str, after: int, limit: int) -> tuple[list[VaultEvent], int]:
        """The vault's events after a number, and the number of its last one."""

        async def read(connection: AsyncConnection) -> tuple[list[VaultEvent], int]:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await events_after(connection, vault, after, limit), await head_of(connection, vault)

        return await self._read(read)

    async def heads(self, vaults: Collection[str]) -> dict[str, int]:
        """Numbers of the last events of those vaults that have any."""
        return await self._read(lambda connection: heads_of(connection, vaults))

    async def figures(self) -> VaultFigures:
        """What the metrics tell of all vaults."""
        return await self._read(vault_figures)

    async def _stored(self, vault: str, client_id: str) -> OrderFacts | None:
        row = await self._kept(vault, client_id)
        return None if row is None else facts_of(row)

    async def _kept(self, vault: str, client_id: str) -> StoredOrder | None:
        return await self._read(lambda connection: stored(connection, f"{vault}/{client_id}"))

    async def _read(self, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async def within() -> T:
            async with self._pool.connect() as connection:
                return await read(connection)

        return await _reached(within())


async def _reached(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except (OperationalError, InterfaceError, PoolTimeout, OSError) as error:
        raise HistoryUnavailable(type(error).__name__) from error
