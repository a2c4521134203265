"""For how long cutting a batch keeps everybody else waiting, with 10,000 and 100,000 accounts.

python -m bench.cut [ACCOUNTS ...]
"""

import gc
import statistics
import sys
import time
from typing import Final

from api import books, cuts
from bench.engine import INDEX, Run
from bench.report import NOISE, Target, table, targets
from bench.risk import crowd, mark, settle
from bench.sweep import turns
from core import events as e
from core.batches import BatchStatus
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide

ACCOUNTS: Final = (10_000, 100_000)
REPETITIONS: Final = 7
TURN_MS: Final = 50.0

ABOUT: Final = """\
Every account holds one position, and the mark has moved since the batch before, so that each has a delta. *Cut* is the engine's step:
every account is valued and the deltas are netted, at one instant. *Read* is what the worker asks for after it, `GET
/operator/settlement/cuts/BATCH`, and *books* what reconciliation asks for, each with its longest turn: others go on between turns.
A batch is cut every ten seconds while anybody trades. A turn of the loop that takes longer than the target is too long: two of them in
a row, and requests are refused."""


def measured(accounts: int) -> tuple[list[float], list[list[float]], list[list[float]]]:
    """Seconds of each cut, and of the turns of the reads after it."""
    run = crowd(accounts, [])
    settle(run)
    cut, read, booked = [], [], []
    for batch in range(1, REPETITIONS + 1):
        mark(run, INDEX + 1 + batch % 2)
        settle(run)
        gc.collect()
        gc.freeze()
        cut.append(_cut(run, batch))
        last = run.state.cut
        assert last is not None
        assert last.deltas
        read.append(turns(cuts.encoded(run.state, last)))
        booked.append(turns(books.encoded(run.state)))
        apply(run.state, e.BatchAdvanced(run.now, batch, BatchStatus.FINAL, ()))
    return cut, read, booked


def _cut(run: Run, batch: int) -> float:
    started = time.perf_counter()
    outcome = decide(run.state, c.CutSettlement(batch), run.now)
    assert isinstance(outcome, list), outcome
    for event in outcome:
        apply(run.state, event)
    return time.perf_counter() - started


def main() -> None:
    sizes = tuple(map(int, sys.argv[1:])) or ACCOUNTS
    rows, wanted = [], []
    for accounts in sizes:
        cut, read, booked = measured(accounts)
        ms = statistics.median(cut) * 1e3
        longest = [statistics.median(max(parts) for parts in times) * 1e3 for times in (read, booked)]
        whole = [statistics.median(sum(parts) for parts in times) * 1e3 for times in (read, booked)]
        reads = [f"{all:.1f} / {most:.1f}" for all, most in zip(whole, longest, strict=True)]
        rows.append((f"{accounts:,}", f"{ms:.1f}", f"{ms * 1e3 / accounts:.2f}", *reads))
        wanted.append(
            Target(f"{accounts:,} accounts: one turn", f"{TURN_MS:g} ms", f"{ms:.0f} ms", ms <= TURN_MS)
        )
    print("## Cuts\n")
    print(f"{ABOUT} Median of {REPETITIONS} repetitions. {NOISE}\n")
    head = ["accounts", "cut, ms", "us an account", "read, ms in all / longest", "books, ms in all / longest"]
    print(table(head, rows), end="\n\n")
    print(targets(wanted))


if __name__ == "__main__":
    main()
