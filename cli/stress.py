"""`perpdex stress`: what is shown while a crash is lived through, and after it."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from cli.report import writable
from core.quantities import MILLION, SECOND
from oracles.recording import RecordingFailed
from stress.losses import Split
from stress.plot import svg
from stress.repeat import repeated
from stress.report import Report, Sample, Scenario
from stress.run import tape_of
from stress.tape import MINUTE, Tape

LINE_EVERY_S: Final = 5.0


def stress(
    prices: Annotated[
        list[Path] | None,
        typer.Option(
            help="recorded prices, a file or a directory; again for more markets. Without any a crash is made up"
        ),
    ] = None,
    hours: Annotated[int, typer.Option(min=1, help="how much of it is played: its steepest hours")] = 4,
    fall: Annotated[int, typer.Option(min=1, max=90, help="percent that a made-up crash falls by")] = 25,
    accounts: Annotated[int, typer.Option(min=1, help="traders, besides the makers")] = 5_000,
    seed: Annotated[int, typer.Option(help="from which everybody and everything made up is drawn")] = 1,
    insurance: Annotated[int, typer.Option(min=0, help="USDC in the insurance fund at first")] = 1_000_000,
    floor: Annotated[int, typer.Option(min=0, help="USDC that it must keep when it takes accounts over")] = 0,
    funding_late: Annotated[
        int, typer.Option(min=0, help="minutes after which hours of funding are paid")
    ] = 0,
    spoilers: Annotated[
        int,
        typer.Option(min=0, help="pairs of makers whose quotes are one lot, far from the index and crossed"),
    ] = 0,
    routed: Annotated[
        bool, typer.Option(help="several publishers tell the prices, and the feed's router judges them")
    ] = False,
    leaving: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="percent of traders that set loss limits or leave on chain; a market is delisted",
        ),
    ] = 0,
    runs: Annotated[int, typer.Option(min=1, help="how often, to see that each ends in the same state")] = 2,
    report: Annotated[
        Path | None, typer.Option(help="file for the report, in JSON", callback=writable)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="file for the picture, an SVG", callback=writable)] = None,
    journal: Annotated[Path | None, typer.Option(help="new directory in which the journal is kept")] = None,
) -> None:
    """Play a crash through the engine and its journal, with makers and traders, at the time of its recording: exit code 0 when every
    invariant held. With --routed prices pass the feed's router, too."""
    scenario = Scenario(
        prices=tuple(str(path.resolve()) for path in prices or ()),
        hours=hours,
        fall=fall * 10_000,
        accounts=accounts,
        seed=seed,
        insurance=insurance * MILLION,
        floor=floor * MILLION,
        funding_late=funding_late * MINUTE,
        spoilers=spoilers,
        routed=routed,
        leaving=leaving,
    )
    try:
        tape = tape_of(scenario)
    except RecordingFailed as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    with _directory(journal) as directory:
        result = repeated(scenario, tape, runs, directory, Shown(tape))
    if report is not None:
        result.write(report)
    if plot is not None:
        plot.write_text(svg(result))
    conclude(result)


class Shown:
    """Samples as they come: the last one on a terminal, one every few seconds elsewhere."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._console = Console()
        self._last = -LINE_EVERY_S

    def __call__(self, sample: Sample) -> None:
        if self._console.is_terminal:
            self._console.print(line(self._tape, sample), end="\r", overflow="crop", no_wrap=True)
        elif time.monotonic() - self._last >= LINE_EVERY_S:
            self._last = time.monotonic()
            print(line(self._tape, sample), flush=True)


def line(tape: Tape, sample: Sample) -> str:
    """One sample in a line; money in USDC."""
    at = datetime.fromtimestamp(sample.at / SECOND, UTC)
    done = min(100, 100 * (sample.at - tape.start) // (len(tape) * tape.step))
    moves = " ".join(
        f"{market.symbol} {100 * (now / series[0] - 1):+.1f} %"
        for market, series, now in zip(tape.markets, tape.prices, sample.index, strict=True)
    )
    return (
        f"{done:3} % {at:%H:%M:%S} | {moves} | open interest {sample.open_interest // MILLION:,} | "
        f"insurance fund {sample.insurance // MILLION:,} | makers {sample.quoting} | fills {sample.fills} "
    )


def conclude(report: Report) -> None:
    """Say what a run came to. Raises `typer.Exit` with code 1 when an invariant did not hold."""
    print(summary(report))
    for sentence in report.broken():
        print(f"BROKEN: {sentence}", file=sys.stderr)
    if report.broken():
        raise typer.Exit(1)


def summary(report: Report) -> str:
    """The report in a few lines, for people."""
    before, after = report.samples[0], report.samples[-1]
    verdict = "every invariant held" if not report.broken() else "NOT every invariant held"
    return "\n".join(
        (
            "",
            f"{report.scenario.accounts:,} accounts lived through {len(report.samples)} beats of {report.source}",
            f"{report.commands:,} commands, {report.records:,} records, {after.fills:,} fills in {report.seconds:.0f} s",
            f"{after.liquidations:,} liquidations: {after.auctions:,} auctions sold something, {after.takeovers:,} takeovers, "
            f"{after.deleveragings:,} deleveragings",
            f"marks were at most {report.furthest_mark / 10_000:.2f} % from the index, not believed {report.unbelieved:,} times",
            f"insurance fund {before.insurance // MILLION:,} -> {after.insurance // MILLION:,} USDC: {told(report.losses)}",
            *(
                f"  {'ok    ' if check.held else 'BROKEN'} {check.what} ({check.found})"
                for check in report.checks
            ),
            f"state {report.state_hash}; {verdict}",
        )
    )


def told(losses: Split) -> str:
    """What the insurance fund got and paid, and what deleveraged agents bore; USDC."""
    parts = {
        "fees": losses.fees,
        "margins": losses.margins,
        "deficits paid": -losses.deficits,
        "inventory": losses.inventory,
        "funding": losses.funding,
        "paid by agents": losses.relief,
    }
    fund = ", ".join(f"{name} {amount / MILLION:+,.0f}" for name, amount in parts.items())
    agents = f"got {losses.got / MILLION:,.0f} and gave {losses.gave / MILLION:,.0f}"
    return f"{fund}; deleveraged agents closed {losses.deleveraged / MILLION:,.0f}, {agents}"


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    """Where the journal goes: a new directory that is kept, or one that is gone afterwards."""
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="perpdex-stress-") as name:
            yield Path(name)
        return
    try:
        kept.mkdir(parents=True)
    except FileExistsError:
        print(f"{kept} exists: a journal is kept in a new directory only.", file=sys.stderr)
        raise typer.Exit(2) from None
    yield kept
