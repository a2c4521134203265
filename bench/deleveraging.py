"""What a deleveraging costs with many opposite holders: one step of the engine, which serves nobody else meanwhile.

python -m bench.deleveraging
"""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from api.lag import LAG_MAX
from bench.engine import INDEX, MARKETS, Run, listed
from bench.report import NOISE, Target, table, targets
from core import events as e
from core.accounts import FIRST_AGENT
from core.deleveraging import Holder, deleverage
from core.liquidation_events import Deleveraged
from core.quantities import MILLISECOND, SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange

HOLDERS: Final = (2_000, 50_000)
LOTS: Final = 100
"""Of each holder, and of each account that is deleveraged while many holders give nothing."""
MARKS: Final = 5
DOWN: Final = INDEX // 10
"""Ticks from one mark to the next: far more than maintenance."""
LONGS: Final = 2 * MARKS + 1

ABOUT: Final = f"""\
Every holder is short {LOTS} lots of one market; the insurance fund has nothing. Each of {MARKS} marks leaves two longs of {LOTS} lots
below zero, which are deleveraged one after the other: of the holders, a hundred give a lot each. *First* is the one for which every
holder is valued anew, *next* the other, at the same mark. The last mark leaves a long of everything else below zero, so that every
holder gives all that it has, and stands in the record. *Decided* is the step in the engine, *applied* what its record does to the
accounts. *Scan* is the first once more from nothing but the accounts: the margin of each asked, whichever side it is on, and the same
rule to rank them. A turn of the loop that takes longer than the target is too long: two of them in a row, and requests are refused."""

_encode: Final = msgspec.msgpack.Encoder().encode


class Step(NamedTuple):
    """Seconds of one deleveraging, how many gave, and the bytes of its record."""

    decided: float
    applied: float
    gave: int
    written: int


def crowd(holders: int) -> Run:
    """An exchange in which so many accounts are short, and `LONGS` hold the other side, in the order in which they go bankrupt."""
    run = listed()
    one, at = MARKETS[0], run.now
    for long in range(LONGS):
        whole = long == LONGS - 1
        size = LOTS * (holders - LONGS + 1) if whole else LOTS
        # A hundredth of what it holds is missing when the mark has come down to its own.
        lost = one.notional(DOWN * (long // 2 + 1), size) - one.notional(INDEX, size) // 100
        join(run.state, at, FIRST_AGENT + long, lost)
    for number in range(holders):
        account, long = FIRST_AGENT + LONGS + number, FIRST_AGENT + min(number, LONGS - 1)
        value = one.notional(INDEX, LOTS)
        join(run.state, at, account, value // 5 + number)
        cost = value + (run.state.accounts[long].positions[1].cost if number >= LONGS else 0)
        fill = (1, long, account, 1, LOTS, INDEX, 0, 0, 0, cost, -value, INDEX)
        apply(run.state, e.Filled(at, run.state.last_fill + 1, 0, 0, *fill))
    settle(run)
    return run


def join(state: Exchange, at: int, account: int, paid: int) -> None:
    apply(state, e.AgentRegistered(at, account, f"owner {account}", "benchmark"))
    apply(state, e.SlotBound(at, account, account // 100 + 1, account % 100))
    apply(state, e.DepositCredited(at, account, paid, f"deposit {account}"))


def settle(run: Run) -> list[Step]:
    """Do all that is due; the deleveragings among it."""
    state, found = run.state, []
    while 0 < state.next_deadline() <= run.now:
        started = time.perf_counter()
        events = decide(state, c.Advance(), run.now)
        decided = time.perf_counter()
        assert type(events) is list, events
        for event in events:
            apply(state, event)
        applied = time.perf_counter()
        found += [
            Step(decided - started, applied - decided, len(event.parts), len(_encode(event)))
            for event in events
            if isinstance(event, Deleveraged)
        ]
    return found


def scan(state: Exchange, size: int, brings: int) -> None:
    """Share `size` lots out by looking at every account."""
    mark, holders = state.marks[1], []
    for account in state.accounts.values():
        held = account.positions.get(1)
        if held is None or held.size * size >= 0:
            continue
        risk = state.margin_of(account)
        own = mark.initial_of(held.size)
        holders.append(Holder(account.id, held.size, held.cost, risk.equity, risk.initial, own))
    assert deleverage(size, brings, holders, mark.value_per_lot).left == 0


def timed(do: Callable[[], None]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def measured(holders: int) -> tuple[list[Step], list[float], Step]:
    """Deleveragings of which few give anything, two for each mark; a scan for each mark; and the last, to which all give."""
    run = crowd(holders)
    steps, scans = [], []
    for mark in range(1, MARKS + 2):
        gc.collect()
        gc.freeze()
        run.do(c.UpdateIndex(1, INDEX - mark * DOWN, 0, run.now, "benchmark"))
        if mark <= MARKS:
            brings = MARKETS[0].notional(INDEX - mark * DOWN, LOTS)
            scans.append(timed(lambda brings=brings: scan(run.state, LOTS, brings)))  # type: ignore[misc]
        steps += settle(run)
    *few, last = steps
    assert (len(few), last.gave) == (2 * MARKS, holders), [step.gave for step in steps]
    assert {step.gave for step in few} == {LOTS}
    return few, scans, last


def main() -> None:
    rows, judged = [], []
    for holders in HOLDERS:
        few, scans, last = measured(holders)
        scanned = statistics.median(scans)
        for what, steps in (("first", few[::2]), ("next", few[1::2]), ("all give", [last])):
            decided, applied = (statistics.median(times) for times in list(zip(*steps, strict=True))[:2])
            rows.append(
                (
                    f"{holders:,}",
                    what,
                    f"{steps[-1].gave:,}",
                    f"{decided * 1e3:.1f}",
                    f"{decided / holders * 1e6:.2f}",
                    f"{applied * 1e3:.1f}",
                    f"{steps[-1].written / 1e6:.3f}",
                    "" if what != "first" else f"{scanned * 1e3:.1f}",
                )
            )
            if what == "first":
                took = (decided + applied) * SECOND
                judged.append(
                    Target(
                        f"{holders:,} holders, first at a mark: one turn of the loop",
                        f"{LAG_MAX // MILLISECOND} ms",
                        f"{took / MILLISECOND:.0f} ms",
                        took <= LAG_MAX,
                    )
                )
    print("## Deleveraging\n")
    print(f"{ABOUT} Median of {MARKS}; the last is one. {NOISE}\n")
    heads = ["holders", "", "give", "decided, ms", "us a holder", "applied, ms", "record, MB", "scan, ms"]
    print(table(heads, rows), end="\n\n")
    print(targets(judged))


if __name__ == "__main__":
    main()
