"""What a sweep of liquidations costs the engine with 100,000 accounts: the look at all, once a round, and the polls between.

python -m bench.sweep [ACCOUNTS]
"""

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable, Generator
from typing import Any, Final

from api.views_liquidation import going_on, overview
from bench.engine import INDEX
from bench.report import NOISE, Target, table, targets
from bench.risk import crowd, mark, scan, settle

ACCOUNTS: Final = 100_000
REPETITIONS: Final = 7
TURN_MS: Final = 10.0
POLL_MS: Final = 1.0
LOOKS: Final = 4
"""At all accounts, that a round of the sweep took when each of its questions was one; each wait for an auction took more."""

ABOUT: Final = f"""\
Every account holds one position, and none is below maintenance. *Look at all* is what `GET /operator/liquidations` has the engine do,
in slices between which others have their turn; right after a mark, at which every account is valued anew, and once more at the same
mark. *Poll* is `/operator/liquidations/going-on`. *Margins of all* asks every account for its margin, in one go: a round of the sweep
had that done {LOOKS} times, and once more for every quarter of a second of an auction. Now it looks at all once, and polls."""


def turns(answer: Any) -> list[float]:
    """Seconds of each turn of a coroutine, driven by hand."""
    steps: Generator[Any, None, Any] = answer.__await__()
    taken = []
    while True:
        started = time.perf_counter()
        try:
            next(steps)
        except StopIteration:
            taken.append(time.perf_counter() - started)
            return taken
        taken.append(time.perf_counter() - started)


def timed(do: Callable[[], object]) -> list[float]:
    started = time.perf_counter()
    do()
    return [time.perf_counter() - started]


def main() -> None:
    accounts = int(sys.argv[1]) if len(sys.argv) > 1 else ACCOUNTS
    run = crowd(accounts, [])
    settle(run)
    state = run.state
    found: dict[str, list[list[float]]] = {
        what: [] for what in ("after a mark", "at the same mark", "poll", "margins")
    }
    for repetition in range(REPETITIONS):
        mark(run, INDEX + 1 + repetition % 2)
        settle(run)
        gc.collect()
        gc.freeze()
        found["margins"].append(timed(lambda: scan(state)))
        found["after a mark"].append(turns(overview(state)))
        found["at the same mark"].append(turns(overview(state)))
        found["poll"].append(timed(lambda: going_on(state, ())))
    assert not asyncio.run(overview(state)).forgotten
    whole = {what: statistics.median(sum(parts) for parts in times) * 1e3 for what, times in found.items()}
    longest = {what: statistics.median(max(parts) for parts in times) * 1e3 for what, times in found.items()}
    now = whole["after a mark"] + LOOKS * whole["poll"]
    print("## Sweep\n")
    print(f"{ABOUT} {accounts:,} accounts, median of {REPETITIONS} repetitions. {NOISE}\n")
    rows = [
        (name, f"{whole[what]:.2f}", f"{longest[what]:.2f}")
        for name, what in (
            ("look at all, after a mark", "after a mark"),
            ("look at all, at the same mark", "at the same mark"),
            ("poll", "poll"),
            ("margins of all", "margins"),
        )
    ]
    rows += [
        (f"a round: {LOOKS} times the margins of all", f"{LOOKS * whole['margins']:.2f}", ""),
        (f"a round: one look at all, {LOOKS} polls", f"{now:.2f}", ""),
    ]
    print(table(["what", "ms in all", "longest turn, ms"], rows), end="\n\n")
    print(
        targets(
            [
                Target(
                    "longest turn of a look at all",
                    f"{TURN_MS:g} ms",
                    f"{longest['after a mark']:.1f} ms",
                    longest["after a mark"] <= TURN_MS,
                ),
                Target("poll", f"{POLL_MS:g} ms", f"{whole['poll']:.3f} ms", whole["poll"] <= POLL_MS),
            ]
        )
    )


if __name__ == "__main__":
    main()
