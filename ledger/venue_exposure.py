"""What a vault holds and has under way, as of one instant, for rules about how much that may come to."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.backing import Exposure
from core.tickets import Leg
from ledger.tables_venues import WAITING, venue_orders, venue_positions
from ledger.vault_cash import cash_of


class VenueExposure:
    """Over a pool; every method reads one state of the ledger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def exposures(self, vault: str, venue: str) -> dict[str, Exposure]:
        """As `exposures_of`."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await exposures_of(connection, vault, venue)

    async def worth(self, vault: str) -> tuple[int, dict[Leg, int]]:
        """Cash in micro-USDC, and all positions: what at their prices a vault is worth."""
        p = venue_positions.c
        held = select(p.venue, p.symbol, p.size_e8).where(p.vault == vault, p.size_e8 != 0)
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            positions = {
                Leg(row.venue, row.symbol): int(row.size_e8) for row in await connection.execute(held)
            }
            return int((await connection.execute(select(cash_of(vault)))).scalar_one()), positions


async def exposures_of(connection: AsyncConnection, vault: str, venue: str) -> dict[str, Exposure]:
    """By symbol: the position, and what orders that have not ended may still fill. Those that only reduce add nothing.

    Of one instant where the transaction reads one, or has the vault's turn.
    """
    p, o = venue_positions.c, venue_orders.c
    held = select(p.symbol, p.size_e8).where(p.vault == vault, p.venue == venue, p.size_e8 != 0)
    waiting = (
        select(o.symbol, o.side, func.sum(o.size - o.filled).label("left"))
        .where(WAITING, o.vault == vault, o.venue == venue, o.reduce_only == 0)
        .group_by(o.symbol, o.side)
    )
    found = {row.symbol: Exposure(int(row.size_e8)) for row in await connection.execute(held)}
    for row in await connection.execute(waiting):
        one, left = found.get(row.symbol, Exposure(0)), max(0, int(row.left))
        buying = row.side > 0
        found[row.symbol] = one._replace(buys=left) if buying else one._replace(sells=left)
    return found
