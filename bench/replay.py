"""What a start, a large book of positions and a price tick cost: replay from a journal on disk, snapshots, memory, marks.

python -m bench.replay [CYCLES]
"""

import asyncio
import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.engine import INDEX, MARKETS, Run, listed, populated, round_trips, standing_fills
from bench.report import NOISE, Target, table, targets
from core import events as e
from core.events import Event
from matcher import commands as c
from matcher.apply import apply
from matcher.image import state_hash
from matcher.journal import Journal
from matcher.recovery import End, replay
from matcher.snapshot import load_newest, save
from matcher.state import Exchange

CYCLES: Final = 100_000
REPETITIONS: Final = 5
REPLAY_TARGET: Final = 200_000
TICK_TARGET_MS: Final = 1.0
POSITIONS: Final = (100, 10_000, 100_000)
TICKS: Final = 2_000
LEVERAGED: Final = 20
"""Notional over equity of the positions that a price tick meets."""


def history(cycles: int) -> list[Event]:
    """Durable events of half as many quoted requests as `cycles`, and half as many filled by standing quotes."""
    journal: list[Event] = []
    run = populated(journal)
    round_trips(run, cycles // 2, "quoted ")
    standing_fills(run, cycles // 2, "stood ")
    return journal


async def write(directory: Path, events: list[Event]) -> None:
    """A journal on disk as the engine writes it: its format, segments and syncs."""
    synced: list[int] = []
    journal = Journal(directory, End(0, None, 0), asyncio.get_running_loop(), synced.append)
    for number, event in enumerate(events):
        journal.append([event])
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    journal.close()


def replayed(directory: Path, state: Exchange) -> None:
    replay(directory, 0, lambda _, event: apply(state, event))


def timed(work: Callable[[], object]) -> float:
    """Median seconds of `work` over the repetitions, after one that is not counted; nothing is collected meanwhile."""
    work()
    taken = []
    for _ in range(REPETITIONS):
        gc.collect()
        gc.disable()
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
        gc.enable()
    return statistics.median(taken)


def starts(cycles: int) -> tuple[list[tuple[str, str, str]], float]:
    """Rows on replay and snapshots, and the records replayed per second."""
    events = history(cycles)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write(directory, events))
        state = Exchange()
        end = replay(directory, 0, lambda _, event: apply(state, event))
        assert (end.sequence, state.seq) == (len(events), len(events))
        rate = len(events) / timed(lambda: replayed(directory, Exchange()))
        saving = timed(lambda: save(directory, state))
        size = next(directory.glob("*.snapshot")).stat().st_size
        assert state_hash(load_newest(directory)) == state_hash(state)
        loading = timed(lambda: load_newest(directory))
    count = f"{len(events):,} records"
    return [
        ("replay from disk", count, f"{rate:,.0f} records/s"),
        ("journal", count, f"{end.offset / len(events):.0f} bytes a record"),
        ("snapshot written and synced", f"{size / 1e6:.1f} MB", f"{saving * 1e3:.0f} ms"),
        ("snapshot read, checked and loaded", f"{size / 1e6:.1f} MB", f"{loading * 1e3:.0f} ms"),
    ], rate


def crowd(positions: int) -> tuple[Run, float]:
    """An exchange in which `positions` accounts hold one position each, and the bytes of memory that each of them takes."""
    run = listed()
    gc.collect()
    before = _resident()
    state, at, value = run.state, run.now, MARKETS[0].notional(INDEX, 100)
    for number in range(positions):
        account, side = 16 + number, 1 if number % 2 else -1
        apply(state, e.AgentRegistered(at, account, f"owner {account}", "benchmark"))
        apply(state, e.SlotBound(at, account, number // 100 + 1, number % 100))
        apply(state, e.DepositCredited(at, account, value // LEVERAGED, f"deposit {account}"))
        if side > 0:
            one = (1, account, account - 1, 1, 100, INDEX, 0, 0, 0, value, -value, INDEX)
            apply(state, e.Filled(at, state.last_fill + 1, 0, 0, *one))
    gc.collect()
    return run, (_resident() - before) / positions


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def tick(run: Run) -> float:
    """Median milliseconds of a new index price, decided and applied, that leaves every account above its requirement."""
    taken = []
    for number in range(TICKS):
        price = INDEX + number % 100
        started = time.perf_counter()
        run.do(c.UpdateIndex(1, price, 0, run.now, "benchmark"))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e3


def main() -> None:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES
    ticks, memory = {}, 0.0
    for positions in POSITIONS:
        run, memory = crowd(positions)
        ticks[positions] = tick(run)
        del run
    rows, rate = starts(cycles)
    rows.append(("memory of open positions", f"{POSITIONS[-1]:,}", f"{memory * POSITIONS[-1] / 1e6:.0f} MB"))
    rows += [
        ("price tick, median", f"{positions:,} positions", f"{taken * 1e3:.1f} us")
        for positions, taken in ticks.items()
    ]
    print("## Start, memory, price ticks\n")
    print(
        f"Median of {REPETITIONS} repetitions, of {TICKS:,} ticks. A start of the exchange collects no garbage, and nor does what is "
        f"timed of it here. {NOISE}\n"
    )
    print(table(["what", "of", "measured"], rows), end="\n\n")
    print(
        targets(
            [
                Target(
                    "replay",
                    f"{REPLAY_TARGET:,} records/s",
                    f"{rate:,.0f} records/s ({rate / REPLAY_TARGET:.2f} x)",
                    rate >= REPLAY_TARGET,
                ),
                Target(
                    "price tick, none crossing",
                    f"{TICK_TARGET_MS} ms",
                    f"{ticks[POSITIONS[-1]]:.4f} ms",
                    ticks[POSITIONS[-1]] <= TICK_TARGET_MS,
                ),
                Target(
                    "tick with 100,000 positions against 100",
                    "2 x",
                    f"{ticks[POSITIONS[-1]] / ticks[POSITIONS[0]]:.2f} x",
                    ticks[POSITIONS[-1]] <= 2 * ticks[POSITIONS[0]],
                ),
            ]
        )
    )


if __name__ == "__main__":
    main()
