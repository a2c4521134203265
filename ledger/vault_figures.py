"""What the metrics tell of vaults: differences from venues, alerts of snapshots, and how old the newest snapshots are."""

from typing import NamedTuple

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_vaults import nav_alerts, nav_snapshots, vaults
from ledger.tables_venues import venue_differences


class VaultFigures(NamedTuple):
    """Instants in nanoseconds. `differences` are by venue how many there were and the instant of the last.

    `said` are alerts by kind so far, `standing` by kind how many vaults have one at their newest snapshot. `oldest` is the newest
    snapshot of the vault that waits longest for the next, of a vault without any when it was made; `newest` is the last of any.
    None without vaults.
    """

    differences: dict[str, tuple[int, int]]
    said: dict[str, int]
    standing: dict[str, int]
    oldest: int | None
    newest: int | None


async def vault_figures(connection: AsyncConnection) -> VaultFigures:
    """As of now."""
    d, a = venue_differences.c, nav_alerts.c
    differing = await connection.execute(select(d.venue, func.count(), func.max(d.at)).group_by(d.venue))
    said = await connection.execute(select(a.kind, func.count()).group_by(a.kind))
    # One look at the index for each vault, however long its history is.
    newest = (
        select(nav_snapshots.c.at)
        .where(nav_snapshots.c.vault == vaults.c.id)
        .order_by(nav_snapshots.c.at.desc())
        .limit(1)
        .lateral("newest")
    )
    standing = (
        select(a.kind, func.count(a.vault.distinct()))
        .select_from(vaults.join(newest, true()))
        .join(nav_alerts, (a.vault == vaults.c.id) & (a.at == newest.c.at))
        .group_by(a.kind)
    )
    each = func.coalesce(newest.c.at, vaults.c.at)
    waiting = select(func.min(each), func.max(each)).select_from(vaults.outerjoin(newest, true()))
    oldest, last = (await connection.execute(waiting)).one()
    return VaultFigures(
        {venue: (count, at) for venue, count, at in differing},
        {row[0]: row[1] for row in said},
        {row[0]: row[1] for row in await connection.execute(standing)},
        oldest,
        last,
    )
