"""`perpdex`: run the whole network, or one of its processes."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from cli import governing, open_batch, operating, proposing, reconciling, rotating
from cli.codec import serve_codec
from cli.custody import escrow as escrow_commands
from cli.demo import LOOK_EVERY_S, Demo, on_free_ports
from cli.explanation import LiquidationUnknown, account_of
from cli.figures import NotReadable, Reader
from cli.journal import journal
from cli.population import look, start_population
from cli.processes import StackFailed
from cli.report import writable
from cli.screen import Screen
from cli.stack import Stack, Stopped
from cli.statements import statement
from cli.stress import stress
from cli.tally import Tally
from core.market import DEFAULT_MARKETS
from endings import NotReachable, told
from matcher.recovery import JournalCorrupt
from oracles.recording import RecordingFailed, load
from serving import serve_api, serve_projector
from settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="AI Perp DEX: agents trade perpetual futures with each other.",
)
serve = typer.Typer(no_args_is_help=True, help="Run one process of the network.")
app.add_typer(serve, name="serve")
app.add_typer(operating.market, name="market")
app.add_typer(operating.withdrawals, name="withdrawals")
app.add_typer(operating.insurance, name="insurance")
app.command("review")(operating.review)
app.command("audit")(operating.audit)
app.add_typer(journal, name="journal")
app.add_typer(reconciling.settlement, name="settlement")
reconciling.settlement.command("abort")(open_batch.abort)
reconciling.settlement.command("carry")(open_batch.carry)
for on_escrow in (
    governing.pause,
    governing.unpause,
    governing.pending,
    governing.cancel,
    governing.execute,
):
    escrow_commands.command()(on_escrow)
escrow_commands.add_typer(proposing.propose, name="propose")
escrow_commands.add_typer(rotating.rotation, name="rotation")
app.add_typer(escrow_commands, name="escrow")
app.command("reconcile")(reconciling.reconcile)
app.command("statement")(statement)
explain = typer.Typer(
    no_args_is_help=True, help="Say from the journal how something came about, and check it."
)
app.add_typer(explain, name="explain")
app.command()(stress)
Prices = Annotated[
    Path | None, typer.Option(help="recorded prices, a file or a directory, for when live ones cannot be had")
]


@serve.command("api")
def run_api() -> None:
    """The matcher with its HTTP and WebSocket interfaces."""
    with told():
        uvloop.run(serve_api(Settings()))


@serve.command("projector")
def run_projector() -> None:
    """The writer of the journal's projections."""
    with told():
        asyncio.run(serve_projector(Settings()))


@app.command("codec")
def run_codec() -> None:
    """Decrypt payloads for Temporal's UI and command line, on this machine only."""
    with told():
        serve_codec(Settings())


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="a proof, as the SDK saves it")],
    rpc: Annotated[str, typer.Option(help="URL of a Solana node")],
    escrow: Annotated[str | None, typer.Option(help="address of the escrow that it must be about")] = None,
) -> None:
    """Check a proof with nothing but its file and a node: exit code 0 when it is proven, 1 when not, 2 when that cannot be said."""
    # Here, because nothing else of this program needs what agents install.
    from perpdex_sdk.verify import run

    raise typer.Exit(run(file, rpc, escrow))


@explain.command("liquidation")
def explain_liquidation(
    number: Annotated[int, typer.Argument(min=1, help="the liquidation's number")],
    journal: Annotated[
        Path | None, typer.Option(help="the journal's directory; default: that of PERPDEX_DATA")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="where records are that were moved out of the journal")
    ] = None,
) -> None:
    """Derive every step of a liquidation again: exit code 0 when all records follow from those before them, 1 when not."""
    directory = journal or Settings().perpdex_data / "journal"
    try:
        lines, differences = account_of(directory, number, archive)
    except (JournalCorrupt, LiquidationUnknown) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join(lines))
    if differences:
        raise typer.Exit(1)


@app.command()
def up(
    makers: Annotated[int, typer.Option(min=0, help="demonstration makers")] = 3,
    traders: Annotated[int, typer.Option(min=0, help="demonstration traders")] = 6,
    prices: Prices = None,
) -> None:
    """Start everything with a few demonstration agents, until Ctrl-C."""
    settings = _with_prices(_settings(), prices)
    settings = settings.model_copy(update={"api_url": settings.nearby_url})
    with (
        _running(settings) as (stack, stopped),
        Screen(_links(settings)) as screen,
        Reader(settings.api_url) as reader,
    ):
        tally = Tally()
        start_population(stack, tally, {"makers": makers, "traders": traders}, stopped)
        while not stopped.wait(LOOK_EVERY_S):
            look(stack, tally, reader, screen)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1, help="how long the agents trade")] = 60,
    makers: Annotated[int, typer.Option(min=1, help="makers")] = 10,
    traders: Annotated[int, typer.Option(min=1, help="traders")] = 30,
    report: Annotated[
        Path | None, typer.Option(help="file for the report, in JSON", callback=writable)
    ] = None,
    prices: Prices = None,
) -> None:
    """Start everything, have agents trade for a while, settle, and check every invariant: exit code 0 when all held."""
    settings = on_free_ports(_with_prices(_settings(), prices))
    with (
        _running(settings) as (stack, stopped),
        Screen(_links(settings)) as screen,
        Reader(settings.api_url) as reader,
    ):
        result = Demo(stack, screen, reader, stopped).run(seconds, makers, traders)
    print(result.summary())
    for sentence in result.broken():
        print(f"BROKEN: {sentence}", file=sys.stderr)
    if report is not None:
        with told():
            result.write(report)
    if result.broken():
        raise typer.Exit(1)


def _settings() -> Settings:
    with told():
        return Settings()


def _with_prices(settings: Settings, path: Path | None) -> Settings:
    """Settings with a recording, read once here so that what is wrong with it is said before anything starts."""
    path = path or settings.price_recording
    if path is None:
        return settings
    try:
        load(path, [market.symbol for market in DEFAULT_MARKETS])
    except RecordingFailed as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    return settings.model_copy(update={"price_recording": path.resolve()})


def _links(settings: Settings) -> list[tuple[str, str]]:
    return [
        ("API docs", f"{settings.api_url}/docs"),
        ("health", f"{settings.api_url}/health"),
        ("Temporal UI", f"http://127.0.0.1:{settings.temporal_ui_port}"),
    ]


@contextmanager
def _running(settings: Settings) -> Iterator[tuple[Stack, threading.Event]]:
    """A started stack, stopped at the end whatever happens. What cannot go on is one sentence and an exit code."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stack = Stack(settings, lambda line: print(f"  {line}", flush=True), stopped)
    try:
        stack.start()
        yield stack, stopped
    except (StackFailed, NotReadable, NotReachable) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except Stopped:
        print("stopped", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        stack.stop()


def main() -> None:
    """Entry of the `perpdex` command."""
    app()


if __name__ == "__main__":
    main()
