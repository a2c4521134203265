"""The harder options of `perpdex stress` in one recorded crash, each by itself: a line of a table for each.

python -m stress.harder RECORDINGS [--only WORD]

The exit code is 0 only if every invariant held.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from core.quantities import MILLION
from stress.crashes import CRASHES
from stress.report import Report, Scenario
from stress.run import play, tape_of
from stress.tape import HOUR

CRASH: Final = "AVAX, NEAR and FIL 2025-02-02 to 03"
PLAIN: Final = Scenario((), 4, 250_000, 1_500, 1, 300_000 * MILLION, 0)
HARDER: Final = {
    "as above": PLAIN,
    "`--insurance 0`": replace(PLAIN, insurance=0),
    "`--spoilers 4`": replace(PLAIN, spoilers=4),
    "`--routed`": replace(PLAIN, routed=True),
    "`--funding-late 60`": replace(PLAIN, funding_late=HOUR),
    "`--leaving 30`": replace(PLAIN, leaving=30),
}
"""Scenarios without their prices, by what `perpdex stress` is told besides those, the accounts and the fund."""
COLUMNS: Final = (
    "liquidations",
    "takeovers",
    "deleveragings",
    "agents gave",
    "fund at the end",
    "furthest mark",
    "below zero",
)
HEAD: Final = f"| | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}"


def lived_through(recordings: Path, scenario: Scenario) -> Report:
    """The scenario with the prices of the crash, once. Raises `RecordingFailed`."""
    prices = tuple(str(recordings / file) for file in CRASHES[CRASH])
    scenario = replace(scenario, prices=prices)
    with tempfile.TemporaryDirectory(prefix="perpdex-stress-") as directory:
        return play(scenario, tape_of(scenario), Path(directory))


def row(name: str, report: Report) -> str:
    """A line of the table; money in whole USDC, rounded down, the mark in percent of its index."""
    last = report.samples[-1]
    counts = (last.liquidations, last.takeovers, last.deleveragings)
    money = (report.losses.gave, last.insurance)
    cells = [f"{count:,}" for count in counts] + [f"{amount // MILLION:,}" for amount in money]
    cells += [f"{report.furthest_mark / 10_000:.2f} %", str(max(one.below_zero for one in report.samples))]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.harder")
    parser.add_argument("recordings", type=Path, help="the directory with ohlcv/")
    parser.add_argument("--only", default="", help="a part of the name of those to play")
    asked = parser.parse_args()
    broken: list[str] = []
    print(HEAD)
    for name, scenario in HARDER.items():
        if asked.only in name:
            report = lived_through(asked.recordings, scenario)
            print(row(name, report), flush=True)
            broken += [f"{name}: {sentence}" for sentence in report.broken()]
    for sentence in broken:
        print(sentence, file=sys.stderr)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
