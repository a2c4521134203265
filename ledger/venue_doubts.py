"""Why nobody deals with a vault for now: what a venue does not tell of it, positions that nobody knows a price of, and accounts that
are suddenly empty."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, case, delete, exists, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from core.nav_alerts import Alert, Kind
from core.tickets import Leg
from ledger.tables_venues import venue_doubts, venue_orders, venue_positions
from ledger.venue_orders import ENDED

SILENT: Final = "silent"
UNPRICED: Final = "unpriced"
EMPTY: Final = "empty"
_KINDS: Final = {UNPRICED: Kind.DIFFERENCE_UNPRICED, EMPTY: Kind.VENUE_EMPTY}


class Doubt(NamedTuple):
    """A row of `venue_doubts`, but since when."""

    vault: str
    venue: str
    symbol: str
    kind: str
    sentence: str


async def keep_doubts(
    connection: AsyncConnection, among: ColumnElement[bool], rows: Sequence[Doubt], now: int
) -> None:
    """Have these and no others of the doubts `among` which they are; each since one of its kind began."""
    d = venue_doubts.c
    names = [(row.vault, row.venue, row.symbol) for row in rows]
    await connection.execute(
        delete(venue_doubts).where(among, tuple_(d.vault, d.venue, d.symbol).not_in(names))
    )
    if rows:
        new = insert(venue_doubts)
        given = new.excluded
        since = case((d.kind == given.kind, d.at), else_=given.at)
        kept = new.on_conflict_do_update(
            index_elements=["vault", "venue", "symbol"],
            set_={"sentence": given.sentence, "kind": given.kind, "at": since},
        )
        await connection.execute(kept, [row._asdict() | {"at": now} for row in rows])


async def doubts_of(connection: AsyncConnection, vaults: Sequence[str]) -> dict[str, list[Alert]]:
    """What venues do not tell of each vault, or nobody knows a price of, or is gone all at once.

    Where a vault neither holds anything nor has an order under way nothing is missed, so one that has left a venue goes on without it.
    """
    d, held, orders = venue_doubts.c, venue_positions.c, venue_orders.c
    holds = exists().where(held.vault == d.vault, held.venue == d.venue, held.size_e8 != 0)
    trades = exists().where(
        orders.vault == d.vault,
        orders.venue == d.venue,
        orders.venue_client_id != "",
        orders.status.not_in(ENDED),
    )
    wanted = (
        select(d.vault, d.venue, d.symbol, d.kind, d.sentence)
        .where(d.vault.in_(vaults), (d.symbol != "") | holds | trades)
        .order_by(d.vault, d.venue, d.symbol)
    )
    found: dict[str, list[Alert]] = {}
    for vault, venue, symbol, kind, sentence in await connection.execute(wanted):
        if kind != SILENT:
            said = Alert(_KINDS[kind], str(Leg(venue, symbol)), sentence)
        else:
            said = Alert(Kind.VENUE_SILENT, venue, f"its fills are not told: {sentence}")
        found.setdefault(vault, []).append(said)
    return found
