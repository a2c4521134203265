"""How long the engine's loop stands still for a snapshot, next to the same load without one, and to a dump of its own state.

python -m bench.snapshots
"""

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from bench.replay import crowd
from bench.report import NOISE, table
from core.accounts import TREASURY
from matcher import commands as c
from matcher.engine import Engine
from matcher.image import dump
from matcher.segments import Watermark
from matcher.snapshot import save, snapshots

POSITIONS: Final = (10_000, 100_000)
RECORDS: Final = 2_000
LEAST_S: Final = 1.0
MOST_S: Final = 90.0


class Pauses:
    """The longest time between two turns of the loop."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.0005)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now

    def stop(self) -> float:
        """Milliseconds."""
        self._task.cancel()
        return self.longest * 1e3


async def under_load(directory: Path, after: int) -> tuple[float, float]:
    """Milliseconds of the longest pause with a snapshot due after so many records, and of a dump on the loop."""
    engine = Engine(directory, time.time_ns, snapshot_after=after)
    newest, pauses, started = snapshots(directory)[0], Pauses(), time.monotonic()
    number = 0
    while number < RECORDS or time.monotonic() - started < LEAST_S or snapshots(directory)[0] == newest:
        await engine.ask(c.CreditDeposit(TREASURY, 1, f"{engine.state.epoch} {number}"))
        number += 1
        if after > RECORDS and time.monotonic() - started > LEAST_S:
            break
        if time.monotonic() - started > MOST_S:
            raise TimeoutError("no snapshot came")
    longest = pauses.stop()
    begun = time.perf_counter()
    dump(engine.state)
    dumped = (time.perf_counter() - begun) * 1e3
    engine.close()
    return longest, dumped


def pauses(positions: int) -> tuple[float, float, float]:
    """The longest pause without and with a snapshot, and that of a dump."""
    run, _ = crowd(positions)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        save(directory, run.state)
        watermark = Watermark(directory)
        watermark.publish(run.state.seq)
        watermark.close()
        del run
        gc.collect()
        without, _ = uvloop.run(under_load(directory, 1 << 40))
        longest, dumped = uvloop.run(under_load(directory, RECORDS // 2))
    return without, longest, dumped


def main() -> None:
    rows = []
    for positions in POSITIONS:
        without, longest, dumped = pauses(positions)
        rows.append(
            (f"{positions:,} positions", f"{without:.0f} ms", f"{longest:.0f} ms", f"{dumped:.0f} ms")
        )
    print("## Snapshots\n")
    print(
        f"The longest pause of the matching loop, which meanwhile credits deposits one after another. {NOISE}\n"
    )
    print(table(["of", "no snapshot", "one made beside it", "a dump on the loop, which is not done"], rows))


if __name__ == "__main__":
    main()
