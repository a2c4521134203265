"""From a vault's ticket to the venue's acknowledgement, per driver against its local venue, next to the bare SDK's call.

python -m bench.venues [ORDERS]
"""

import asyncio
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from bench.disk import scratch
from bench.report import NOISE, milliseconds, percentile, slowest, table
from bench.venues.desk import Desk, desk_over
from bench.venues.places import Place, all_places, anvil
from core.market import Side
from core.tickets import OrderType, TimeInForce, price_from, size_from
from venues.driver import Acknowledged, Driver, VenueOrder

ORDERS: Final = 100
SECONDS: Final = 240
"""At each venue: on a busy machine there are fewer orders. Hyperliquid lets an address look at some thirty a minute."""
FIRST: Final = 5
"""Of each kind, which are not counted: connections are opened and code is loaded."""

ABOUT: Final = """\
Orders that fill at once, one after another, buying and selling in turn, each sent three times: as a vault's *ticket*, by the
*driver* alone, and by the venue's own *SDK*, the latter two with the same key. Each local venue is a process of its own and checks the
real signatures. A ticket goes through the Exec service: an order workflow on a Temporal server (`start-dev`, its database a file), the
vault's rules with the venue's price, three transactions in PostgreSQL, and the driver, in a worker that is a process of its own. It is
timed until whoever sent it has the venue's answer; *to the ledger* is until the workflow has ended with the last fill written, for
which the next order waits. Over a real network the way there comes on top of all three. Of fewer than 100 orders there is no p99: the
slowest stands there, as *max*.

Not like for like: Polymarket's driver reads the book and keeps what it signs on disk before it sends, which its SDK does not. Of
`agents` the driver speaks HTTP, and this network's SDK a WebSocket; both wait for the journal's sync. `mock_gold` is a file, synced to
disk for each order, and has no SDK. `mock_gold_evm` gathers orders for 30 seconds: it acknowledges that one waits for its batch, only
the worker brings it there, and *to the ledger* is one order, with its period, on a chain of one block a second."""
NO_CHAIN: Final = (
    "`mock_gold_evm` is not among them: there is no anvil on this machine. "
    "`contracts/evm/check.sh` brings one; name it with ANVIL."
)

TICKET: Final = "ticket"
LEDGER: Final = "to the ledger"
DRIVER: Final = "driver"
SDK: Final = "SDK"


async def measure(desk: Desk, place: Place, orders: int) -> dict[str, list[int]]:
    """Nanoseconds of each order by how it was sent."""
    taken: dict[str, list[int]] = defaultdict(list)
    if place.driver is None:
        waited, filled = await desk.gathered(place, orders + FIRST, SECONDS)
        return {TICKET: waited[FIRST:], LEDGER: [filled]}
    if place.stock:
        await desk.order(place, Side.BUY, place.stock)
    enough = time.monotonic() + SECONDS
    for number in range(-FIRST, orders):
        if number > 1 and time.monotonic() > enough:
            break
        side = Side.BUY if number % 2 else Side.SELL
        acknowledged, ended = await desk.order(place, side)
        driven = await by_driver(place, place.driver, number, side)
        found = {TICKET: acknowledged, LEDGER: ended, DRIVER: driven}
        if place.sdk is not None:
            begun = time.perf_counter_ns()
            await place.sdk(side)
            found[SDK] = time.perf_counter_ns() - begun
        if number >= 0:
            for name, value in found.items():
                taken[name].append(value)
    return taken


async def by_driver(place: Place, driver: Driver, number: int, side: Side) -> int:
    order = VenueOrder(
        driver.client_id(f"own/{number}"),
        place.leg.symbol,
        side,
        size_from(place.size),
        OrderType.LIMIT,
        price_from(place.limits[side]),
        TimeInForce.IOC,
    )
    begun = time.perf_counter_ns()
    answer = await driver.submit(order)
    taken = time.perf_counter_ns() - begun
    assert isinstance(answer, Acknowledged), answer
    return taken


def row(place: Place, taken: dict[str, list[int]]) -> list[str]:
    ticket, driver, sdk = (taken.get(what, []) for what in (TICKET, DRIVER, SDK))
    cells = [place.leg.venue, str(len(ticket))]
    for values in (ticket, driver, sdk):
        cells += [milliseconds(percentile(values, 0.5)), slowest(values)] if values else ["", ""]
    ratios = [
        f"{percentile(taken[one], 0.5) / percentile(sdk, 0.5):.1f}" if sdk else "" for one in (TICKET, DRIVER)
    ]
    return [*cells, *ratios, milliseconds(percentile(taken[LEDGER], 0.5)), place.sdk_name]


async def main(orders: int) -> None:
    with scratch() as name:
        directory = Path(name)
        async with all_places(directory) as places, desk_over(directory, places) as desk:
            rows = []
            for place in places:
                print(f"  {time.strftime('%H:%M:%S')} {place.leg.venue}", file=sys.stderr, flush=True)
                rows.append(row(place, await measure(desk, place, orders)))
    heads = ["venue", "orders"]
    heads += [f"{what} {share} ms" for what in (TICKET, DRIVER, SDK) for share in ("p50", "p99")]
    heads += ["ticket / SDK", "driver / SDK", f"{LEDGER} p50 ms", "its SDK"]
    print(f"## From ticket to acknowledgement\n\n{ABOUT}\n")
    print(table(heads, rows))
    if anvil() is None:
        print(f"\n{NO_CHAIN}")
    print(f"\nUp to {orders} orders of each kind, for up to {SECONDS} s. {NOISE}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS))
