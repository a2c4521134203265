"""Two ways to load a server: each connection asks again when answered, or requests come at a fixed rate whatever happens."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from bench.gateway.links import Refused, Times
from bench.report import milliseconds, percentile

WARM_UP_S: Final = 1.0
DRAIN_S: Final = 5.0
NANOSECONDS: Final = 1_000_000_000


class Asking(Protocol):
    """A connection that sends requests and says when one is answered."""

    on_answer: Callable[[], None]
    broken: "asyncio.Future[None]"

    def request(self, since: int) -> None: ...


class Figures(NamedTuple):
    """Answered per second; latencies in nanoseconds."""

    per_second: float
    p50: float
    p99: float

    @property
    def cells(self) -> tuple[str, str, str]:
        return milliseconds(self.p50), milliseconds(self.p99), f"{self.per_second:,.0f}"


async def closed_loop(askers: Sequence[Asking], times: Times, seconds: float) -> Figures:
    """Every connection has one request open at any moment. Raises `Refused` when one ends in anything but a fill."""
    asking = True

    def again(asker: Asking) -> None:
        if asking:
            asker.request(time.perf_counter_ns())

    for asker in askers:
        asker.on_answer = lambda asker=asker: again(asker)  # type: ignore[misc]
        asker.request(time.perf_counter_ns())
    await _unless_broken(askers, WARM_UP_S)
    times.clear()
    started = time.perf_counter_ns()
    await _unless_broken(askers, seconds)
    figures = _figures(times, time.perf_counter_ns() - started)
    asking = False
    await _unless_broken(askers, WARM_UP_S)
    return figures


async def fixed_rate(askers: Sequence[Asking], times: Times, rate: int, seconds: float) -> Figures:
    """Requests at even distances, each timed from the instant at which it was due. Raises `Refused`."""
    for asker in askers:
        asker.on_answer = lambda: None
    times.clear()
    total = int(rate * seconds)
    started = time.perf_counter_ns()
    sent = 0
    while sent < total:
        due = (time.perf_counter_ns() - started) * rate // NANOSECONDS + 1
        for number in range(sent, min(due, total)):
            askers[number % len(askers)].request(started + number * NANOSECONDS // rate)
        sent = min(due, total)
        await asyncio.sleep(max(0.0, started / NANOSECONDS + sent / rate - time.perf_counter()))
    took = time.perf_counter_ns() - started
    give_up = time.perf_counter() + DRAIN_S
    while len(times.latencies) < total and time.perf_counter() < give_up:
        await _unless_broken(askers, 0.05)
    if len(times.latencies) < total:
        raise Refused(f"{total - len(times.latencies)} of {total} requests were not answered")
    return _figures(times, took)


async def _unless_broken(askers: Sequence[Asking], seconds: float) -> None:
    """Wait; raises what broke a connection meanwhile."""
    broken, _ = await asyncio.wait(
        [asker.broken for asker in askers], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
    )
    for failed in broken:
        failed.result()


def _figures(times: Times, nanoseconds: int) -> Figures:
    if set(times.outcomes) != {"filled"}:
        raise Refused(f"not every request was filled: {dict(times.outcomes)}")
    latencies = times.latencies
    per_second = len(latencies) * NANOSECONDS / nanoseconds
    return Figures(per_second, percentile(latencies, 0.5), percentile(latencies, 0.99))
