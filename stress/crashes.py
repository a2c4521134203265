"""The recorded crashes, one after the other, with everybody; compared with the states that they are known to end in.

python -m stress.crashes RECORDINGS [--accounts N] [--only WORD] [--record]

The exit code is 0 only if every invariant held and every run ended in its known state. Known are the states of `ACCOUNTS` accounts; a
change of a rule changes them, and `--record` writes down those of the runs just made.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from core.quantities import MILLION
from stress.repeat import repeated
from stress.report import Report, Scenario
from stress.run import tape_of

ACCOUNTS: Final = 5_000
RUNS: Final = 2
KNOWN: Final = Path(__file__).with_name("crashes.json")
"""By the name of a crash the state that it ends in."""
CRASHES: Final = {
    "BTC 2023-04-05, ticks": ("market/binance-usdm-BTCUSDT-2023-04-05-trades.csv.gz",),
    "BTC 2022-01-21": ("ohlcv/BTC-PERP-1m-2021-12-31_2022-01-21.csv.gz",),
    "AVAX, NEAR and FIL 2025-02-02 to 03": (
        "ohlcv/binance-usdm-AVAXUSDT-1m-2025-02-01_2025-02-04.csv.gz",
        "ohlcv/binance-usdm-NEARUSDT-1m-2025-02-01_2025-02-04.csv.gz",
        "ohlcv/binance-usdm-FILUSDT-1m-2025-02-01_2025-02-04.csv.gz",
    ),
    "AVAX 2026-02-05 to 06": ("ohlcv/binance-usdm-AVAXUSDT-1m-2026-02-04_2026-02-07.csv.gz",),
}
COLUMNS: Final = (
    "recording",
    "records",
    "liquidations",
    "auctions with bids",
    "takeovers",
    "deleveragings",
    "fund at the end",
    "deficits it paid",
    "agents gave",
)
HEAD: Final = f"| {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 1)}"


def lived_through(recordings: Path, name: str, accounts: int) -> Report:
    """A recorded crash as `perpdex stress` plays it with nothing else said. Raises `RecordingFailed`."""
    prices = tuple(str(recordings / file) for file in CRASHES[name])
    scenario = Scenario(prices, 4, 250_000, accounts, 1, 1_000_000 * MILLION, 0)
    with tempfile.TemporaryDirectory(prefix="perpdex-stress-") as directory:
        return repeated(scenario, tape_of(scenario), RUNS, Path(directory), lambda _: None)


def row(name: str, report: Report) -> str:
    """A line of the table; money in whole USDC, rounded down."""
    last, losses = report.samples[-1], report.losses
    counts = (report.records, last.liquidations, last.auctions, last.takeovers, last.deleveragings)
    money = (last.insurance, losses.deficits, losses.gave)
    cells = [f"{count:,}" for count in counts] + [f"{amount // MILLION:,}" for amount in money]
    return f"| {name} | {' | '.join(cells)} |"


def surprises(name: str, report: Report, known: dict[str, str]) -> list[str]:
    """A sentence for each invariant that did not hold, and for a state that is not the one `known` for the crash."""
    found = [f"{name}: {sentence}" for sentence in report.broken()]
    if name in known and known[name] != report.state_hash:
        found.append(f"{name}: ended in state {report.state_hash}, known is {known[name]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.crashes")
    parser.add_argument("recordings", type=Path, help="the directory with market/ and ohlcv/")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--only", default="", help="a part of the name of those to play")
    parser.add_argument("--record", action="store_true", help="write down the states instead of comparing")
    asked = parser.parse_args()
    known: dict[str, str] = json.loads(KNOWN.read_text())
    compared = known if asked.accounts == ACCOUNTS and not asked.record else {}
    found: list[str] = []
    print(HEAD)
    for name in CRASHES:
        if asked.only in name:
            report = lived_through(asked.recordings, name, asked.accounts)
            print(row(name, report), flush=True)
            found += surprises(name, report, compared)
            known[name] = report.state_hash
    for sentence in found:
        print(sentence, file=sys.stderr)
    if asked.record and asked.accounts == ACCOUNTS and not found:
        KNOWN.write_text(json.dumps(known, indent=2) + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
