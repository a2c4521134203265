"""How many prices the routers find in a second: of what vaults hold at venues, and the index of the network's own markets.

python -m bench.routing [ROUNDS]
"""

import asyncio
import sys
import time
from collections.abc import Collection, Mapping
from typing import Final

from bench.report import NOISE, percentile, table
from core.quantities import SECOND, Nanos, Ppm
from core.tickets import E8, Leg, PriceE8
from core.validity import Validity
from oracles.polling import Read
from oracles.price import Price
from oracles.route import AGREED, LIVE_AGES, MINUTE, Limits, Route
from oracles.router import PriceRouter
from venues.driver import Mid
from venues.errors import Unavailable
from venues.prices import LegPrice, NoPrice, Standing, VenuePriceRouter

ROUNDS: Final = 200
LOOKS: Final = 50
"""Of one market, in each round."""
VENUES: Final = ("agents", "hyper", "mock_gold", "synthetix")
SYMBOLS: Final = tuple(f"S{number}" for number in range(50))
LEGS: Final = tuple(f"{venue}::{symbol}" for venue in VENUES for symbol in SYMBOLS)
START: Final = 1_700_000_000 * SECOND
NANOSECONDS: Final = 1_000_000_000

ABOUT: Final = f"""\
`get_index_prices` of {len(VENUES)} venues with {len(SYMBOLS)} symbols each, or of one of them, when the price is found at each
place of the chain: the venue's middle; an oracle, for the venues are silent; the last good one, for the oracles are too; nothing, for
that is too old by now. *Index* is the network's own market: three sources say a price, two of which must agree while one is a witness;
each is taken, and the market is looked at. Middles and oracles are in memory: what venues and nodes take to answer comes on top, once
for all symbols of a venue."""


class World:
    """Venues and one oracle, which say a price for everything or are silent, and a clock."""

    label: Final = "oracle"
    every_s: Final = 1.0

    def __init__(self) -> None:
        self.now = START
        self.venues_speak = self.oracle_speaks = True

    async def mids(self, symbols: Collection[str]) -> Mapping[str, Mid]:
        if not self.venues_speak:
            raise Unavailable("bench", "silent")
        return {symbol: Mid(PriceE8(100 * E8), Nanos(self.now)) for symbol in symbols}

    def limits(self, symbol: str) -> Limits:
        return Limits(self.label, self.label, LIVE_AGES, Ppm(5_000))

    async def latest(self) -> Read:
        if not self.oracle_speaks:
            return {}
        return {one: Price(one, 100, 0, 0, Nanos(self.now), self.label) for one in SYMBOLS}


def routed(world: World) -> VenuePriceRouter:
    def asset(leg: Leg) -> str:
        return leg.symbol

    def now() -> int:
        return world.now

    return VenuePriceRouter(dict.fromkeys(VENUES, world.mids), [world], asset, now, elapsed=now)


async def of_legs(rounds: int, legs: Collection[str]) -> dict[str, list[int]]:
    """Nanoseconds of each call, by where the prices were found."""
    taken: dict[str, list[int]] = {
        place: [] for place in (*Standing, "refused") if place not in (Standing.DEMO, Standing.RESOLVED)
    }
    world = World()
    router = routed(world)
    for _ in range(rounds):
        for place, values in taken.items():
            world.venues_speak = place == Standing.VENUE
            world.oracle_speaks = place in (Standing.VENUE, Standing.ORACLE)
            # Far enough for the oracle to be asked anew, and at last for everything to be too old.
            world.now += (30 * MINUTE) if place == "refused" else 2 * SECOND
            begun = time.perf_counter_ns()
            found = await router.get_index_prices(legs)
            values.append(time.perf_counter_ns() - begun)
            assert {_place(one) for one in found.values()} == {place}
    return taken


def _place(found: LegPrice | NoPrice) -> str:
    return found.standing if isinstance(found, LegPrice) else "refused"


def of_market(rounds: int) -> list[int]:
    """Nanoseconds of `LOOKS` looks at one market, each after three sources spoke."""
    names = ("one", "two", "perp")
    sources = tuple(Limits(name, name, LIVE_AGES, Ppm(5_000), witness=name == "perp") for name in names)
    router, now, taken = PriceRouter([Route("BTC-PERP", sources, AGREED)]), START, []
    for _ in range(rounds):
        begun = time.perf_counter_ns()
        for _ in range(LOOKS):
            now += SECOND // 2
            for name in names:
                router.accept(Price("BTC-PERP", 60_000, 0, 0, Nanos(now), name), Nanos(now))
            assert router.route("BTC-PERP", Nanos(now)).validity is Validity.VALID
        taken.append(time.perf_counter_ns() - begun)
    return taken


def cells(what: str, taken: list[int], prices: int) -> tuple[str, ...]:
    """A row: microseconds for each price, and prices a second, at the median."""
    median = percentile(taken, 0.5)
    return what, f"{median / prices / 1_000:.2f}", f"{prices * NANOSECONDS / median:,.0f}"


async def main(rounds: int) -> None:
    rows: list[tuple[str, ...]] = []
    for legs in (LEGS, LEGS[:1]):
        many = f"{len(legs)} legs at once" if len(legs) > 1 else "one leg"
        for place, taken in (await of_legs(rounds, legs)).items():
            rows.append(cells(f"{many}: {place}", taken, len(legs)))
    rows.append(cells("index of a market", of_market(rounds), LOOKS))
    print(f"## Price routing\n\n{ABOUT}\n")
    print(table(["", "us each", "prices per second"], rows))
    print(f"\nMedian of {rounds} rounds. {NOISE}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
