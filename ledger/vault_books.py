"""What vaults held at an instant: positions and cash from what moved them, and what waits to be dealt."""

from collections.abc import Sequence

from sqlalchemy import func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from core.nav_alerts import TakenOver, Worth
from core.nav_snapshot import TransferKind, Waiting
from core.tickets import Leg, PriceE8, SizeE8
from ledger.tables_vaults import nav_snapshots, vault_shares, vault_transfers
from ledger.tables_venues import (
    vault_cash,
    vault_cash_moves,
    venue_differences,
    venue_fills,
    venue_positions,
)


async def positions_at(
    connection: AsyncConnection, at: int, vaults: Sequence[str] | None = None
) -> dict[str, dict[Leg, int]]:
    """Sizes in 1e-8 of what each vault held at an instant, without closed positions; of all vaults when none are named.

    What is held now less what came later: the price is for what was recorded since that instant, not since the vault began.
    """
    held, fills, differences = venue_positions.c, venue_fills.c, venue_differences.c
    parts = [
        select(held.vault, held.venue, held.symbol, held.size_e8.label("size")),
        select(fills.vault, fills.venue, fills.symbol, -fills.side * fills.size).where(fills.at > at),
        select(
            differences.vault, differences.venue, differences.symbol, differences.ours - differences.theirs
        ).where(differences.at > at),
    ]
    if vaults is not None:
        tables = (held, fills, differences)
        parts = [part.where(c.vault.in_(vaults)) for part, c in zip(parts, tables, strict=True)]
    every = union_all(*parts).subquery().c
    size = func.sum(every.size)
    wanted = (
        select(every.vault, every.venue, every.symbol, size.label("size"))
        .group_by(every.vault, every.venue, every.symbol)
        .having(size != 0)
        .order_by(every.vault, every.venue, every.symbol)
    )
    found: dict[str, dict[Leg, int]] = {}
    for row in await connection.execute(wanted):
        found.setdefault(row.vault, {})[Leg(row.venue, row.symbol)] = int(row.size)
    return found


async def legs_at(connection: AsyncConnection, at: int) -> list[Leg]:
    """Every leg that some vault held at an instant, each once."""
    held = await positions_at(connection, at)
    return sorted({leg for legs in held.values() for leg in legs})


async def cash_at(connection: AsyncConnection, at: int, vaults: Sequence[str]) -> dict[str, int]:
    """Micro-USDC of each vault at an instant: what it has now less what moved it later, which costs the same however old it is."""
    has, moves = vault_cash.c, vault_cash_moves.c
    every = union_all(
        select(has.vault, has.amount).where(has.vault.in_(vaults)),
        select(moves.vault, -moves.amount).where(moves.vault.in_(vaults), moves.at > at),
    ).subquery()
    wanted = select(every.c.vault, func.sum(every.c.amount).label("cash")).group_by(every.c.vault)
    return {row.vault: int(row.cash) for row in await connection.execute(wanted)}


async def waiting_at(connection: AsyncConnection, at: int, vaults: Sequence[str]) -> dict[str, list[Waiting]]:
    """Transfers of each vault that were accepted until an instant and waited at it, in the order of acceptance.

    Also those that were taken back since: the prices of the instant were there to be looked at by then.
    """
    t = vault_transfers.c
    waited = (t.status == "waiting") | ((t.status == "cancelled") & (t.dealt_at > at))
    wanted = (
        select(t.vault, *(t[name] for name in Waiting._fields))
        .where(t.vault.in_(vaults), waited, t.at <= at)
        .order_by(t.number)
    )
    found: dict[str, list[Waiting]] = {}
    for row in await connection.execute(wanted):
        one = Waiting(row.key, row.holder, TransferKind(row.kind), row.amount, row.shares)
        found.setdefault(row.vault, []).append(one)
    return found


async def holdings(connection: AsyncConnection, vaults: Sequence[str]) -> dict[str, dict[int, int]]:
    """Millionths of a share by vault and holder, without those who have none."""
    t = vault_shares.c
    wanted = select(t.vault, t.holder, t.shares).where(t.vault.in_(vaults), t.shares > 0).order_by(t.holder)
    found: dict[str, dict[int, int]] = {}
    for row in await connection.execute(wanted):
        found.setdefault(row.vault, {})[row.holder] = row.shares
    return found


async def newest_snapshots(connection: AsyncConnection, vaults: Sequence[str]) -> dict[str, int]:
    """Instant of the newest snapshot of each vault that has one."""
    t = nav_snapshots.c
    wanted = select(t.vault, func.max(t.at).label("at")).where(t.vault.in_(vaults)).group_by(t.vault)
    return {row.vault: row.at for row in await connection.execute(wanted)}


async def taken_over(connection: AsyncConnection, vaults: Sequence[str]) -> dict[str, list[TakenOver]]:
    """Positions of each vault that were taken over from venues since its newest snapshot's instant, in the order in which they were.

    Also what came after the instant of the one that is taken now: it is valued without that, and known to be wrong.
    """
    d, taken = venue_differences.c, nav_snapshots.c
    newest = select(func.coalesce(func.max(taken.at), -1)).where(taken.vault == d.vault).scalar_subquery()
    wanted = select(venue_differences).where(d.vault.in_(vaults), d.at > newest).order_by(d.number)
    found: dict[str, list[TakenOver]] = {}
    for row in await connection.execute(wanted):
        one = TakenOver(Leg(row.venue, row.symbol), SizeE8(row.ours), SizeE8(row.theirs), PriceE8(row.price))
        found.setdefault(row.vault, []).append(one)
    return found


async def worth_before(connection: AsyncConnection, vaults: Sequence[str]) -> dict[str, Worth]:
    """What shares of each vault were worth, after the fee, at its newest snapshot at which that was known."""
    t = nav_snapshots.c
    wanted = (
        select(t.vault, t.nav, t.shares, t.fee_shares)
        .distinct(t.vault)
        .where(t.vault.in_(vaults), t.nav.is_not(None), t.shares > 0)
        .order_by(t.vault, t.at.desc())
    )
    return {
        row.vault: Worth(row.nav, row.shares + row.fee_shares) for row in await connection.execute(wanted)
    }
