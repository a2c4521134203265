"""Snapshots of what vaults are worth. Each vault has one for an instant, whoever asks how often, and deals at it once.

The prices of an instant are written first and never changed, so all vaults are valued at the same ones, and a snapshot that is taken
up again after a kill comes to the same.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.nav import GIVEN, NAMED, RESOLVED, PricedLeg, Valuation
from core.nav_alerts import DEFAULT_LIMITS, Alert, AlertLimits, takeovers
from core.nav_snapshot import Owned, Snapshot, snapshot
from core.quantities import SECOND, MicroUsdc, Nanos
from core.tickets import Leg, PriceE8, SizeE8
from core.vault_shares import Mark
from ledger.named_prices import end_named, named_at
from ledger.nav_writes import write
from ledger.tables_vaults import nav_prices, vaults
from ledger.vault_books import (
    cash_at,
    holdings,
    legs_at,
    newest_snapshots,
    positions_at,
    taken_over,
    waiting_at,
    worth_before,
)
from ledger.venue_doubts import doubts_of

CARRIED: Final = "carried"
"""Standing of a price that an earlier snapshot had: nobody knew a newer one."""
DEMO: Final = "demo"
"""Standing of one that is recorded or made up: under another it would be taken for somebody's word, so it is never carried."""
NONE: Final = "none"
"""Standing of no price."""
CARRIED_AGE_MAX: Final = Nanos(7 * 24 * 3_600 * SECOND)
"""An older price says nothing any more."""

AHEAD_MAX: Final = Nanos(5 * SECOND)
"""How far a snapshot's instant may be ahead of the clock of who takes it: those whose instants come before it would not be taken."""


class NavPrice(NamedTuple):
    """A leg's price at a snapshot, 1e-8 of a dollar; 0 with the reasons as `source` when nobody knew one."""

    price: int
    price_at: int
    source: str
    standing: str

    @property
    def known(self) -> bool:
        return self.price > 0 or self.standing in GIVEN


class Taken(NamedTuple):
    """What a call of `NavSnapshots.take` came to: `through` is the last vault looked at, empty when there was none left."""

    through: str
    vaults: int
    alerts: list[tuple[str, Alert]]


class NavSnapshots:
    """Over a pool; every method is one transaction and safe to repeat. What is beyond `limits` is said of a snapshot."""

    def __init__(self, engine: AsyncEngine, limits: AlertLimits = DEFAULT_LIMITS) -> None:
        self._engine = engine
        self._limits = limits

    async def unpriced(self, at: int) -> list[Leg]:
        """Legs that vaults held at an instant and that have no price recorded for it."""
        async with self._engine.connect() as connection:
            priced = select(nav_prices.c.venue, nav_prices.c.symbol).where(nav_prices.c.at == at)
            known = {Leg(*row) for row in await connection.execute(priced)}
            return [leg for leg in await legs_at(connection, at) if leg not in known]

    async def record_prices(self, at: int, found: Mapping[Leg, NavPrice]) -> None:
        """Write the prices of an instant; those that are written already stay.

        A leg without a fresh one gets what an operator named by then, as `NAMED`; where nobody did, one without any that of the newest
        snapshot that had one of the last week and not a `DEMO` one, as `CARRIED`; what its market ended at stays that. Where there is
        a fresh one, what was named ends.
        """
        if not found:
            return
        fresh = {leg for leg, one in found.items() if self._fresh(at, one)}
        async with self._engine.begin() as connection:
            await end_named(connection, fresh, at)
            carried = await _carried(connection, at, [leg for leg, one in found.items() if not one.known])
            resolved = {leg for leg, one in carried.items() if one.standing == RESOLVED}
            named = await named_at(connection, at, found.keys() - fresh - resolved)
            given = {
                leg: NavPrice(one.price, one.at, f"{one.who}: {one.why}", NAMED) for leg, one in named.items()
            }
            rows = [
                {"at": at, **leg._asdict(), **(given.get(leg) or carried.get(leg) or one)._asdict()}
                for leg, one in found.items()
            ]
            await connection.execute(upsert(nav_prices).on_conflict_do_nothing(), rows)

    def _fresh(self, at: int, one: NavPrice) -> bool:
        """Whether a price makes no snapshot of an instant doubtful."""
        return one.known and (one.standing in GIVEN or abs(at - one.price_at) <= self._limits.stale)

    async def take(self, at: int, after: str, limit: int, now: int) -> Taken:
        """Snapshots of up to `limit` vaults with names after `after` that were there at an instant; what waited is dealt with.

        A vault that has a snapshot of that instant or a later one is left alone. `now` is when they are recorded; none are taken of an
        instant more than `AHEAD_MAX` after it.
        """
        if at > now + AHEAD_MAX:
            return Taken("", 0, [])
        async with self._engine.connect() as connection, _unmoved(connection):
            due = (
                select(vaults)
                .where(vaults.c.id > after, vaults.c.at <= at)
                .order_by(vaults.c.id)
                .limit(limit)
                # Nobody else deals with them meanwhile.
                .with_for_update()
            )
            rows = list(await connection.execute(due))
            if not rows:
                return Taken("", 0, [])
            taken = await _snapshots(connection, at, rows, self._limits)
            await write(connection, at, now, taken)
        said = [(vault, alert) for vault, one in taken.items() for alert in one.alerts]
        return Taken(rows[-1].id, len(taken), said)


@asynccontextmanager
async def _unmoved(connection: AsyncConnection) -> AsyncIterator[None]:
    """A transaction in which a fill that is recorded meanwhile changes neither positions nor cash."""
    await connection.execution_options(isolation_level="REPEATABLE READ")
    async with connection.begin():
        yield


async def _snapshots(
    connection: AsyncConnection, at: int, rows: "Sequence[Row[Any]]", limits: AlertLimits
) -> dict[str, Snapshot]:
    """By vault, of those that have none of this instant or a later one."""
    newest = await newest_snapshots(connection, [row.id for row in rows])
    rows = [row for row in rows if newest.get(row.id, -1) < at]
    ids = [row.id for row in rows]
    held = await positions_at(connection, at, ids)
    cash = await cash_at(connection, at, ids)
    waiting = await waiting_at(connection, at, ids)
    shares = await holdings(connection, ids)
    before = await worth_before(connection, ids)
    doubts = await doubts_of(connection, ids)
    differences = await taken_over(connection, ids)
    prices = await _prices(connection, at)
    found = {}
    for row in rows:
        legs = [_priced(leg, size, prices) for leg, size in held.get(row.id, {}).items()]
        worth = Valuation(MicroUsdc(cash.get(row.id, 0)), legs)
        mark = Mark(row.mark_nav, row.mark_shares)
        owned = Owned(row.manager, row.fee_ppm, mark, shares.get(row.id, {}))
        mine = waiting.get(row.id, [])
        said = [*doubts.get(row.id, []), *takeovers(worth, differences.get(row.id, []))]
        found[row.id] = snapshot(Nanos(at), worth, owned, before.get(row.id), mine, limits, said)
    return found


async def _prices(connection: AsyncConnection, at: int) -> dict[Leg, NavPrice]:
    rows = await connection.execute(select(nav_prices).where(nav_prices.c.at == at))
    return {
        Leg(row.venue, row.symbol): NavPrice(row.price, row.price_at, row.source, row.standing)
        for row in rows
    }


async def _carried(connection: AsyncConnection, at: int, legs: Sequence[Leg]) -> dict[Leg, NavPrice]:
    c = nav_prices.c
    wanted = (
        select(nav_prices)
        .distinct(c.venue, c.symbol)
        .where(tuple_(c.venue, c.symbol).in_(legs), c.at < at, c.at > at - CARRIED_AGE_MAX)
        .where((c.standing == RESOLVED) | ((c.price > 0) & (c.price_at > at - CARRIED_AGE_MAX)))
        .where(c.standing.not_in((DEMO, NAMED)))
        .order_by(c.venue, c.symbol, c.at.desc())
    )
    return {
        Leg(row.venue, row.symbol): NavPrice(
            row.price, row.price_at, row.source, row.standing if row.standing == RESOLVED else CARRIED
        )
        for row in await connection.execute(wanted)
    }


def _priced(leg: Leg, size: int, prices: Mapping[Leg, NavPrice]) -> PricedLeg:
    # What was recorded after the prices were asked for, of an instant before, has none.
    found = prices.get(leg, NavPrice(0, 0, "it was recorded after prices were asked for", NONE))
    return PricedLeg(
        leg, SizeE8(size), PriceE8(found.price), Nanos(found.price_at), found.source, found.standing
    )
