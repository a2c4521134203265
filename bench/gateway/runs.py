"""The measurements: each starts its server, loads it, and returns its figures."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from bench.disk import floor, scratch
from bench.gateway.agents import (
    MAKERS_PER_MARKET,
    SYMBOLS,
    connected_makers,
    connected_traders,
    keep_quoting,
    quote,
    registered,
)
from bench.gateway.links import Echoed, Maker, Times, Trader
from bench.gateway.load import Figures, closed_loop, fixed_rate
from bench.gateway.peer import PeerTrader, gateway
from bench.gateway.processes import started
from bench.report import percentile

CONNECTIONS: Final = (1, 10, 100)
RATES: Final = (100, 1_000)
SECONDS: Final = 4.0
RATE_SECONDS: Final = 10.0
SYNCS: Final = 3_000
RECORD: Final = b"\x01" * 100
"""As long as a fill's in the journal."""


class Loaded(NamedTuple):
    """Figures by number of connections, and by requests a second over the most connections."""

    closed: dict[int, Figures]
    rated: dict[int, Figures]


class Exchange(NamedTuple):
    standing: Loaded
    asked: Loaded


class Synced(NamedTuple):
    """Nanoseconds of a write with its sync."""

    p50: float
    p99: float


def disk(*, preallocated: bool) -> Synced:
    with scratch() as directory, floor(Path(directory), preallocated=preallocated) as file:
        times = [file.write(RECORD) for _ in range(SYNCS)]
    return Synced(percentile(times, 0.5), percentile(times, 0.99))


def exchange() -> Exchange:
    """Ours, with everything on. Round trips at the most connections are left to `sync_compared`: one figure under one name."""
    with scratch() as directory, started("bench.gateway.exchange", directory) as server:
        return uvloop.run(_exchange(server["http"], server["port"]))


def sync_compared(rounds: int) -> dict[bool, Figures]:
    """Full round trips at the most connections, by whether records are synced: in turn, so that both see the same machine, each
    time on a server of its own. The run with the median throughput of each; `rounds` is odd."""
    found: dict[bool, list[Figures]] = {True: [], False: []}
    for _ in range(rounds):
        for synced in found:
            with (
                scratch() as directory,
                started("bench.gateway.exchange", directory, *([] if synced else ["--unsynced"])) as server,
            ):
                found[synced].append(uvloop.run(_busiest(server["http"], server["port"])))
    return {synced: sorted(runs)[rounds // 2] for synced, runs in found.items()}


def echo() -> dict[int, Figures]:
    with started("bench.gateway.echo") as server:
        return uvloop.run(_echo(server["port"]))


def peer() -> dict[int, Figures]:
    """Raises `PeerMissing`."""
    with scratch() as directory, gateway(Path(directory)) as port:
        return uvloop.run(_peer(port))


async def _exchange(http_url: str, port: int) -> Exchange:
    times = Times()
    makers = MAKERS_PER_MARKET * len(SYMBOLS)
    agents = await registered(http_url, CONNECTIONS[-1] + makers + 1)
    traders = await connected_traders(port, agents[: CONNECTIONS[-1]], times)
    quoting = Maker([])
    await quoting.open(port, token=agents[-1].token)
    await quote(quoting)
    renewing = asyncio.create_task(keep_quoting(quoting))
    standing = await _loaded(traders, times, CONNECTIONS)
    renewing.cancel()
    quoting.close()
    await connected_makers(port, agents[CONNECTIONS[-1] : -1])
    return Exchange(standing, await _loaded(traders, times, CONNECTIONS[:-1]))


async def _busiest(http_url: str, port: int) -> Figures:
    times = Times()
    agents = await registered(http_url, CONNECTIONS[-1] + MAKERS_PER_MARKET * len(SYMBOLS))
    traders = await connected_traders(port, agents[: CONNECTIONS[-1]], times)
    await connected_makers(port, agents[CONNECTIONS[-1] :])
    return await closed_loop(traders, times, SECONDS)


async def _loaded(traders: Sequence[Trader], times: Times, connections: Sequence[int]) -> Loaded:
    closed = {count: await closed_loop(traders[:count], times, SECONDS) for count in connections}
    return Loaded(closed, {rate: await fixed_rate(traders, times, rate, RATE_SECONDS) for rate in RATES})


async def _echo(port: int) -> dict[int, Figures]:
    times = Times()
    links = [Echoed(times) for _ in range(CONNECTIONS[-1])]
    for link in links:
        await link.open(port)
    return {count: await closed_loop(links[:count], times, SECONDS) for count in CONNECTIONS}


async def _peer(port: int) -> dict[int, Figures]:
    times = Times()
    traders = [PeerTrader(times, 1 + number) for number in range(CONNECTIONS[-1])]
    for trader in traders:
        await trader.connect(port)
    return {count: await closed_loop(traders[:count], times, SECONDS) for count in CONNECTIONS}
