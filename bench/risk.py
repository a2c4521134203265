"""What a new mark costs with many positions open, by how many accounts it takes below maintenance; beside a scan of them all."""

import gc
import statistics
import time
from typing import Final, NamedTuple

from bench.engine import INDEX, MARKETS, Run, listed
from bench.report import NOISE, Target, table, targets
from core import events as e
from core.account_risk import RiskMark
from core.accounts import INSURANCE
from core.liquidation_events import LiquidationStarted
from matcher import commands as c
from matcher.apply import apply
from matcher.state import Exchange

CROSSINGS: Final = {1_000: (0, 10), 10_000: (0, 10), 100_000: (0, 10, 100, 1_000)}
"""By the number of positions, how many accounts a new mark takes below maintenance."""
REPETITIONS: Final = 9
LOTS: Final = 100
FAR: Final = 20
"""Notional over equity of the accounts that no mark comes near."""
APART: Final = INDEX // 1_000
"""Ticks from the edge of one group of accounts to that of the next."""
MARK_TARGET_MS: Final = 1.0
SCAN_TARGET: Final = 100
SAME: Final = 2.0
"""Two of these times are the same as long as one is no more than so many times the other: caches are colder where more is held."""

ABOUT: Final = """\
Every account holds one position in the same market. Some, in groups, would come below maintenance at the same tick; the mark
falls by one tick, over the edge of one group, right after another mark that crossed nobody. *Found*: the new index price is
decided and applied, and the engine knows whom to liquidate. *Begun*: each of them is in liquidation and has had its first
auction, in vain, as nobody quotes. *Scan* asks every account for its margin instead, as one would who keeps no order of edges."""


class Measured(NamedTuple):
    """Median seconds with so many positions, of which so many come below maintenance."""

    positions: int
    crossing: int
    found: float
    begun: float
    scan: float


def crowd(positions: int, groups: list[int]) -> Run:
    """An exchange in which so many accounts hold one position each; the longs begin with groups of these sizes, group after group."""
    run = listed()
    state, at, value = run.state, run.now, MARKETS[0].notional(INDEX, LOTS)
    apply(state, e.DepositCredited(at, INSURANCE, 10**13, "insurance fund"))
    deposits = iter([deposit(state, edge(group)) for group, size in enumerate(groups) for _ in range(size)])
    for account in range(16, 16 + positions):
        long = account % 2 == 1
        paid = next(deposits, value // FAR) if long else value // FAR
        apply(state, e.AgentRegistered(at, account, f"owner {account}", "benchmark"))
        apply(state, e.SlotBound(at, account, account // 100 + 1, account % 100))
        apply(state, e.DepositCredited(at, account, paid, f"deposit {account}"))
        if long:
            one = (1, account, account - 1, 1, LOTS, INDEX, 0, 0, 0, value, -value, INDEX)
            apply(state, e.Filled(at, state.last_fill + 1, 0, 0, *one))
    return run


def edge(group: int) -> int:
    """The last mark in ticks at which a group of accounts meets maintenance."""
    return INDEX - (group + 1) * APART


def deposit(state: Exchange, last: int) -> int:
    """What a long of `LOTS` must have paid in to be liquidatable below `last` ticks."""
    mark = RiskMark.of(state.steps_of(1), last * MARKETS[0].value_per_tick_lot)
    return mark.maintenance_of(LOTS) + MARKETS[0].notional(INDEX - last, LOTS)


def measured(positions: int, crossings: tuple[int, ...]) -> list[Measured]:
    """A market with so many positions, its mark falling over one group after the other."""
    groups = [size for size in crossings for _ in range(REPETITIONS)]
    run = crowd(positions, groups)
    settle(run)
    taken: dict[int, list[tuple[float, float, float]]] = {size: [] for size in crossings}
    for group, size in enumerate(groups):
        gc.collect()
        mark(run, edge(group))
        settle(run)
        started = time.perf_counter()
        mark(run, edge(group) - 1)
        due = run.state.next_deadline()
        found = time.perf_counter()
        begun = settle(run)
        ended = time.perf_counter()
        below = scan(run.state)
        scanned = time.perf_counter()
        assert (begun, 0 < due <= run.now, below >= size) == (size, size > 0, True)
        taken[size].append((found - started, ended - started, scanned - ended))
    return [
        Measured(positions, size, *map(statistics.median, zip(*times, strict=True)))
        for size, times in taken.items()
    ]


def mark(run: Run, price: int) -> None:
    run.do(c.UpdateIndex(1, price, 0, run.now, "benchmark"))


def settle(run: Run) -> int:
    """Do all that is due; how many liquidations began."""
    begun = 0
    while 0 < run.state.next_deadline() <= run.now:
        begun += sum(type(event) is LiquidationStarted for event in run.do(c.Advance()))
    return begun


def scan(state: Exchange) -> int:
    """How many accounts could be liquidated, found by asking all of them."""
    return sum(state.margin_of(account).liquidatable for account in state.accounts.values())


def main() -> None:
    rows = [row for positions, crossings in CROSSINGS.items() for row in measured(positions, crossings)]
    print("## Liquidations\n")
    print(f"{ABOUT} Median of {REPETITIONS} groups. {NOISE}\n")
    print(
        table(
            ["positions", "below maintenance", "found, us", "begun, us", "begun, us each", "scan, us"],
            [
                (
                    f"{row.positions:,}",
                    f"{row.crossing:,}",
                    f"{row.found * 1e6:,.0f}",
                    f"{row.begun * 1e6:,.0f}",
                    f"{row.begun * 1e6 / row.crossing:.0f}" if row.crossing else "",
                    f"{row.scan * 1e6:,.0f}",
                )
                for row in rows
            ],
        ),
        end="\n\n",
    )
    print(targets(judged({(row.positions, row.crossing): row for row in rows})))


def judged(rows: dict[tuple[int, int], Measured]) -> list[Target]:
    """The targets, from the measurements by positions and accounts below maintenance."""
    none, few, most = (rows[100_000, crossing] for crossing in (0, 10, 1_000))
    against_scan, grown = none.scan / none.found, none.found / rows[1_000, 0].found
    each = (most.begun / most.crossing) / (few.begun / few.crossing)
    return [
        Target(
            "mark change with 100,000 positions and none crossing",
            f"{MARK_TARGET_MS} ms",
            f"{none.found * 1e3:.3f} ms",
            none.found * 1e3 <= MARK_TARGET_MS,
        ),
        Target(
            "the same against a scan",
            f"{SCAN_TARGET} x",
            f"{against_scan:,.0f} x",
            against_scan >= SCAN_TARGET,
        ),
        Target("the same against 1,000 positions", f"{SAME:g} x", f"{grown:.2f} x", grown <= SAME),
        Target("each of 1,000 against each of 10", "2 x", f"{each:.2f} x", each <= 2),
    ]


if __name__ == "__main__":
    main()
