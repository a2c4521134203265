"""What the journal adds to the disk: its records against a bare write and sync of the same bytes, for one waiter and for a hundred.

python -m bench.journal
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import uvloop

import matcher.journal
from bench.disk import Floor, floor, scratch
from bench.engine import populated, standing_fills
from bench.report import NANOSECONDS_PER_MS, NOISE, Target, percentile, table, targets
from core.events import Event, Filled
from matcher.journal import Journal
from matcher.records import encode
from matcher.recovery import End

CROWD: Final = 100
ROUNDS: Final = 150
"""Many and short ones: a disk that others use is fast and slow by turns."""
ALONE: Final = 25
"""Records of one waiter in each round."""
CROWDED: Final = 1_500
"""Records of a hundred waiters in each round; all rounds stay within the half of a segment before the next one is prepared."""
FILLS: Final = 1_000
RATIO: Final = 1.5
RATE: Final = 100_000
SECOND: Final = 1_000_000_000
UNSYNCED_ROUNDS: Final = 20
HEADS: Final = ("what", "p50 ms", "p99 ms", "records per second")

ABOUT: Final = f"""\
The journal as the engine has it, on uvloop and on the disk that holds the code; every record is a fill of {{size:.0f}} bytes. A waiter
appends its next record as soon as the last one is known to be synced; times are from the append to that. The bare write is a
`pwrite` of the same bytes with the same sync call, over zeros, on the thread that asks. Both take turns in {ROUNDS} rounds, so that
the machine's noise meets both; the ratio is the median of the rounds' own ratios. The journal with its sync call left out, after
them, is what it costs by itself: where that is fast and the bare write slow, the disk decides."""


class Round(NamedTuple):
    """Nanoseconds of each write or record, and of all of them together."""

    times: list[int]
    taken: int


class Found(NamedTuple):
    """Rounds of one number of waiters: of the bare file and the journal beside each other, and of the journal without syncs."""

    bare: list[Round]
    ours: list[Round]
    unsynced: list[Round]


class Crowd:
    """Waiters on one journal."""

    def __init__(self, directory: Path, fills: Sequence[Event]) -> None:
        loop = asyncio.get_running_loop()
        self._journal = Journal(directory, End(0, None, 0), loop, self._synced)
        self._fills = cycle(fills)
        self._waiting: deque[tuple[int, int]] = deque()
        self._times: list[int] = []
        self._left = 0
        self._done: asyncio.Future[None] = loop.create_future()

    async def round(self, waiters: int, records: int) -> Round:
        self._times, self._left = [], records
        self._done = asyncio.get_running_loop().create_future()
        started = time.perf_counter_ns()
        for _ in range(waiters):
            self._append()
        await self._done
        return Round(self._times, time.perf_counter_ns() - started)

    def close(self) -> None:
        self._journal.close()

    def _append(self) -> None:
        self._left -= 1
        started = time.perf_counter_ns()
        self._waiting.append((self._journal.append([next(self._fills)]), started))

    def _synced(self, sequence: int) -> None:
        now = time.perf_counter_ns()
        while self._waiting and self._waiting[0][0] <= sequence:
            self._times.append(now - self._waiting.popleft()[1])
            if self._left:
                self._append()
        if not self._waiting:
            self._done.set_result(None)


def bare(under: Floor, data: bytes, writes: int) -> Round:
    started = time.perf_counter_ns()
    times = [under.write(data) for _ in range(writes)]
    return Round(times, time.perf_counter_ns() - started)


async def measured(fills: Sequence[Event], ours: Path, under: Floor) -> dict[int, Found]:
    """What was found for each number of waiters."""
    one = encode(1, 0, fills[0])
    many = b"".join(encode(number, 0, fill) for number, fill in enumerate(islice(cycle(fills), CROWD), 1))
    kinds = ((1, one, ALONE), (CROWD, many, CROWDED))
    crowd = Crowd(ours, fills)
    found = {waiters: Found([], [], []) for waiters, _, _ in kinds}
    try:
        # Not counted: the first record makes the segment.
        await crowd.round(CROWD, CROWDED)
        for number in range(ROUNDS):
            for waiters, data, records in kinds:
                # Each goes first as often as the other.
                first = bare(under, data, records // waiters) if number % 2 else None
                found[waiters].ours.append(await crowd.round(waiters, records))
                found[waiters].bare.append(first or bare(under, data, records // waiters))
        assert callable(matcher.journal.sync)
        matcher.journal.sync = lambda descriptor: None
        for waiters, _, records in kinds:
            for _ in range(UNSYNCED_ROUNDS):
                found[waiters].unsynced.append(await crowd.round(waiters, records))
    finally:
        crowd.close()
    return found


def rate(rounds: Sequence[Round], records: int) -> float:
    """Records a second of the median round; each of its times is of so many `records`."""
    return median(records * len(one.times) * SECOND / one.taken for one in rounds)


def row(name: str, rounds: Sequence[Round], records: int) -> tuple[str, ...]:
    times = [each / NANOSECONDS_PER_MS for one in rounds for each in one.times]
    return (
        name,
        *(f"{percentile(times, share):.3f}" for share in (0.5, 0.99)),
        f"{rate(rounds, records):,.0f}",
    )


def rows(waiters: int, found: Found) -> list[tuple[str, ...]]:
    who = "one waiter" if waiters == 1 else f"{waiters} waiters"
    bytes_of = "one record" if waiters == 1 else f"{waiters} records at once"
    return [
        row(f"bare write and sync, {bytes_of}", found.bare, waiters),
        row(f"journal, {who}", found.ours, 1),
        row(f"journal, {who}, sync left out", found.unsynced, 1),
    ]


def ratio(found: Found) -> float:
    """Of the medians of a journal's round and of the bare round beside it; the median of all."""
    pairs = zip(found.ours, found.bare, strict=True)
    return median(percentile(ours.times, 0.5) / percentile(bare.times, 0.5) for ours, bare in pairs)


def main() -> None:
    durable: list[Event] = []
    standing_fills(populated(durable), FILLS, "fill ")
    fills = [event for event in durable if isinstance(event, Filled)]
    size = sum(len(encode(1, 0, fill)) for fill in fills) / len(fills)
    with scratch() as name, floor(Path(name), preallocated=True) as bare_file:
        found = uvloop.run(measured(fills, Path(name), bare_file))
    alone, together = ratio(found[1]), rate(found[CROWD].ours, 1)
    at_most = rate(found[CROWD].bare, CROWD)
    print("## Journal\n")
    print(ABOUT.format(size=size), NOISE, end="\n\n")
    print(table(HEADS, (line for waiters, one in found.items() for line in rows(waiters, one))), end="\n\n")
    print(
        targets(
            [
                Target(
                    "one waiter against the bare write, p50",
                    f"<= {RATIO} x",
                    f"{alone:.2f} x",
                    alone <= RATIO,
                ),
                Target(
                    f"{CROWD} waiters",
                    f">= {RATE:,} records/s",
                    f"{together:,.0f}/s, bare {at_most:,.0f}/s",
                    together >= RATE,
                ),
            ]
        )
    )


if __name__ == "__main__":
    main()
