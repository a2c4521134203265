"""Prices that operators name for legs that nobody knows one of, so that one such leg does not keep everybody in a vault."""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.nav import NAMED
from core.nav_alerts import Kind
from core.quantities import SECOND, Nanos
from core.tickets import Leg, PriceE8, e8_text
from ledger.tables_vaults import nav_alerts, nav_named_prices, nav_snapshots
from ledger.vaults import changed

NAMED_AGE_MAX: Final = Nanos(24 * 3_600 * SECOND)
"""So long a named price counts: whoever wants it for longer looks again, and names it again."""
_UNPRICED: Final = (Kind.NO_PRICE, Kind.STALE_LEG)


class NamedPrice(NamedTuple):
    """`price` is in 1e-8 of a dollar, 0 of what is lost; `at` is when it was named, in nanoseconds."""

    price: int
    who: str
    why: str
    at: int


class NamedPrices:
    """Over a pool; every method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def name(self, vault: str, leg: Leg, named: NamedPrice) -> int | None:
        """Have a price count for a leg, in all vaults, from the next snapshot on; what the vault has of it, in 1e-8.

        It counts where no other price is fresh, until one is, until it is withdrawn, or until it is `NAMED_AGE_MAX` old. None, and
        nothing done, unless the vault's newest snapshot has that leg with no price, a stale one, or a named one.
        """
        async with self._engine.begin() as connection:
            size = await _unpriced(connection, vault, leg)
            if size is None:
                return None
            row = {**leg._asdict(), "vault": vault, **named._asdict(), "ended_at": 0, "ended_by": ""}
            await connection.execute(insert(nav_named_prices).values(row))
            what = f"{leg} counted at {e8_text(PriceE8(named.price))}"
            await changed(connection, vault, what, named.who, named.why, named.at)
            return size

    async def withdraw(self, vault: str, leg: Leg, who: str, why: str, at: int) -> NamedPrice | None:
        """Have the price that was named for a leg not count any more; which it was. None when none counts.

        It is among the changes of that vault, and of the one that it was named in.
        """
        async with self._engine.begin() as connection:
            found = (await named_at(connection, at, [leg])).get(leg)
            if found is not None:
                await end_named(connection, [leg], at, who)
                for told in sorted({vault, await _named_in(connection, leg, at)}):
                    await changed(connection, told, f"{leg} counted at no named price", who, why, at)
            return found


async def named_at(connection: AsyncConnection, at: int, legs: Collection[Leg]) -> dict[Leg, NamedPrice]:
    """Prices that count at an instant, of those of `legs` that have one."""
    c = nav_named_prices.c
    newest = (
        select(nav_named_prices)
        .distinct(c.venue, c.symbol)
        .where(tuple_(c.venue, c.symbol).in_(legs), c.at <= at)
        .order_by(c.venue, c.symbol, c.number.desc())
    )
    return {
        Leg(row.venue, row.symbol): NamedPrice(row.price, row.who, row.why, row.at)
        for row in await connection.execute(newest)
        if not row.ended_at and at - row.at <= NAMED_AGE_MAX
    }


async def _named_in(connection: AsyncConnection, leg: Leg, at: int) -> str:
    """The vault in which the newest price of a leg that has one was named."""
    c = nav_named_prices.c
    there = (c.venue == leg.venue) & (c.symbol == leg.symbol) & (c.at <= at)
    newest = select(c.vault).where(there).order_by(c.number.desc()).limit(1)
    return str((await connection.execute(newest)).scalar_one())


async def end_named(connection: AsyncConnection, legs: Collection[Leg], at: int, by: str = "") -> None:
    """Have no price that was named for one of `legs` by an instant count any more, in the caller's transaction."""
    c = nav_named_prices.c
    there = tuple_(c.venue, c.symbol).in_(legs) & (c.at <= at) & (c.ended_at == 0)
    await connection.execute(update(nav_named_prices).where(there).values(ended_at=at, ended_by=by))


async def _unpriced(connection: AsyncConnection, vault: str, leg: Leg) -> int | None:
    """The size of a leg in a vault's newest snapshot, where it has no fresh price."""
    s, a = nav_snapshots.c, nav_alerts.c
    newest = select(s.at, s.legs).where(s.vault == vault).order_by(s.at.desc()).limit(1)
    found = (await connection.execute(newest)).first()
    if found is None:
        return None
    said = select(a.kind).where(a.vault == vault, a.at == found.at, a.leg == str(leg), a.kind.in_(_UNPRICED))
    doubtful = (await connection.execute(said.limit(1))).first() is not None
    for venue, symbol, size, _, _, _, standing, _ in found.legs:
        if Leg(venue, symbol) == leg and (doubtful or standing == NAMED):
            return int(size)
    return None
