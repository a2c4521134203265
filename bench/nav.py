"""A round of snapshots of 1,000 vaults with 20 positions each, on a real PostgreSQL.

python -m bench.nav [VAULTS]
"""

import asyncio
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.nav import VAULTS_AT_ONCE, NavActivities, NavInstant
from bench.disk import scratch
from bench.report import NOISE, milliseconds, percentile, table
from core.quantities import SECOND, Nanos
from core.tickets import price_from
from ledger.database import open_pool
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade
from ledger.nav import NavSnapshots
from venues.driver import Mid
from venues.prices import VenuePriceRouter

VAULTS: Final = 1_000
POSITIONS: Final = 20
VENUES: Final = ("agents", "hyper", "mock_gold", "synthetix")
SYMBOLS: Final = 50
"""Of each venue: vaults hold some of them."""
MOVES: Final = 200
"""Of each vault's cash before."""
ROUNDS: Final = 5
HOUR: Final = 3_600 * SECOND
FIRST: Final = 500_000 * HOUR

ABOUT: Final = f"""\
{POSITIONS} positions of each vault, spread over {len(VENUES)} venues with {SYMBOLS} symbols each, {MOVES} movements of cash before,
and a fill of each vault after the instant, which its snapshot must not count. In every round every vault's value rises, so that each
manager is given new shares, and a tenth of the vaults have a deposit that waits. Prices come through the router from middles in
memory: what a venue takes to answer comes on top. A round is what the workflow's steps do, in their transactions of
{VAULTS_AT_ONCE} vaults, synced to disk."""

SETTING_UP: Final = (
    "insert into vaults select 'v' || lpad(v::text, 6, '0'), 16, 'hyper', 0, 200000, 1000000000, 1000000000, 1000000000, 0, 'ada'"
    " from generate_series(1, :vaults) v",
    "insert into vault_shares select id, 17, 1000000000 from vaults",
    "insert into vault_cash_moves (vault, venue, kind, reference, amount, at)"
    " select id, 'hyper', 'trade', m::text, 5000000, m from vaults, generate_series(1, :moves) m",
    "insert into vault_cash select vault, venue, sum(amount) from vault_cash_moves group by vault, venue",
    "insert into venue_positions select id, venue, 'S' || (v * 7 + p) % :symbols, 100000000 * (1 + p % 3), 0"
    " from (select id, row_number() over () v from vaults) held, generate_series(1, :each) p,"
    " unnest(cast(:venues as text[])) venue",
    "insert into venue_fills (vault, venue, fill, ticket, venue_order_id, symbol, side, size, price, fee, at)"
    " select id, 'hyper', 'late', '', '', 'S1', 1, 100000000, 100000000, 0, :late from vaults",
)
DEPOSITS: Final = (
    "insert into vault_transfers (vault, key, holder, kind, amount, shares, status, code, who, at, dealt_at)"
    " select id, :key, 18, 'deposit', 1000000, 0, 'waiting', '', 'ada', :at, 0 from vaults where right(id, 1) = '0'"
)


class Prices:
    """Middles of all venues, which rise from round to round."""

    def __init__(self) -> None:
        self.now = FIRST

    async def mids(self, symbols: Collection[str]) -> Mapping[str, Mid]:
        rounds = (self.now - FIRST) // HOUR
        return {one: Mid(price_from(f"{100 + rounds}"), Nanos(self.now)) for one in symbols}


async def fill_in(pool: AsyncEngine, vaults: int) -> None:
    given = {
        "vaults": vaults,
        "moves": MOVES,
        "symbols": SYMBOLS,
        "each": POSITIONS // len(VENUES),
        "venues": list(VENUES),
        "late": FIRST + 1_000 * HOUR,
    }
    async with pool.begin() as connection:
        for statement in SETTING_UP:
            wanted = text(statement)
            await connection.execute(wanted, {name: given[name] for name in wanted.compile().params})
    async with pool.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("analyze"))


async def measured_round(steps: NavActivities, at: int, parts: list[int]) -> tuple[int, int]:
    """Nanoseconds for the prices and for all snapshots; those of each transaction are added to `parts`."""
    environment = ActivityEnvironment()
    started = time.perf_counter_ns()
    legs = await environment.run(steps.price_legs, NavInstant(at))
    priced = time.perf_counter_ns()
    assert legs == len(VENUES) * SYMBOLS
    after = ""
    while True:
        begun = time.perf_counter_ns()
        part = await environment.run(steps.take_snapshots, NavInstant(at, after))
        if not part.through:
            return priced - started, time.perf_counter_ns() - priced
        assert not part.alerts, part.alerts[:3]
        after = part.through
        parts.append(time.perf_counter_ns() - begun)


async def main(vaults: int) -> None:
    with scratch() as directory:
        postgres = EmbeddedPostgres(Path(directory) / "postgres")
        url = postgres.start()
        try:
            upgrade(url)
            pool = open_pool(url)
            await fill_in(pool, vaults)
            prices = Prices()
            rounds: list[tuple[int, int]] = []
            parts: list[int] = []
            router = VenuePriceRouter(
                dict.fromkeys(VENUES, prices.mids),
                [],
                lambda leg: None,
                lambda: prices.now,
                elapsed=lambda: prices.now,
            )
            steps = NavActivities(NavSnapshots(pool), router, lambda: prices.now)
            for number in range(ROUNDS):
                prices.now = FIRST + number * HOUR
                async with pool.begin() as connection:
                    given = {"key": str(number), "at": prices.now}
                    await connection.execute(text(DEPOSITS), given)
                rounds.append(await measured_round(steps, prices.now, parts))
            await pool.dispose()
        finally:
            postgres.stop()
    report(vaults, rounds, parts)


def report(vaults: int, rounds: list[tuple[int, int]], parts: list[int]) -> None:
    whole = [sum(one) for one in rounds]
    rows = [
        (f"{vaults} vaults x {POSITIONS} positions", *_figures(whole)),
        ("of that the prices", *_figures([one for one, _ in rounds])),
        (f"a transaction of {VAULTS_AT_ONCE} vaults", *_figures(parts)),
    ]
    reached = percentile(whole, 0.5) / SECOND
    print(f"## Snapshots of vaults\n\n{ABOUT}\n")
    print(table(["", "p50 ms", "most ms"], rows))
    print(f"\n{ROUNDS} rounds; {vaults * POSITIONS / reached:,.0f} positions a second. {NOISE}")


def _figures(taken: list[int]) -> tuple[str, str]:
    return milliseconds(percentile(taken, 0.5)), milliseconds(max(taken))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else VAULTS))
