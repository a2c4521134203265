"""`perpdex up` and `perpdex demo`: the whole network on one machine."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.demo import LOOK_EVERY_S, Demo, on_free_ports
from cli.demo_vault import VaultOpening, impossible, with_vault
from cli.figures import NotReadable, Reader
from cli.population import look, start_population
from cli.processes import StackFailed
from cli.report import writable
from cli.screen import Screen
from cli.stack import Stack, Stopped
from cli.tally import Tally
from core.market import DEFAULT_MARKETS
from endings import NotReachable, told
from oracles.recording import RecordingFailed, load
from settings import Settings

Prices = Annotated[
    Path | None, typer.Option(help="recorded prices, a file or a directory, for when live ones cannot be had")
]

WithVault = Annotated[
    bool, typer.Option(help="a demonstration vault that trades with the makers, and gold at mock_gold")
]


def up(
    makers: Annotated[
        int, typer.Option(min=0, help="demonstration makers; a market only reduces until two quote")
    ] = 3,
    traders: Annotated[int, typer.Option(min=0, help="demonstration traders")] = 6,
    prices: Prices = None,
    vault: WithVault = True,
) -> None:
    """Start everything with a few demonstration agents and a vault, until Ctrl-C."""
    settings = _with_prices(_settings(), prices)
    settings = settings.model_copy(update={"api_url": settings.nearby_url})
    # Without makers nobody demonstrates anything: it is an exchange for others.
    vault = vault and makers > 0 and _possible(settings)
    settings = with_vault(settings) if vault else settings
    with (
        _running(settings) as (stack, stopped),
        Screen(_links(settings)) as screen,
        Reader(settings.api_url) as reader,
    ):
        tally = Tally()
        opening = VaultOpening(stack.settings, _say) if vault else None
        start_population(stack, tally, {"makers": makers, "traders": traders}, stopped, opening)
        while not stopped.wait(LOOK_EVERY_S):
            look(stack, tally, reader, screen)


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="how long the agents trade")] = 60,
    makers: Annotated[int, typer.Option(min=2, help="makers; with one alone a market only reduces")] = 10,
    traders: Annotated[int, typer.Option(min=1, help="traders")] = 30,
    report: Annotated[
        Path | None, typer.Option(help="file for the report, in JSON", callback=writable)
    ] = None,
    prices: Prices = None,
    vault: WithVault = True,
) -> None:
    """Start everything, have agents trade for a while, settle, and check every invariant: exit code 0 when all held."""
    settings = on_free_ports(_with_prices(_settings(), prices))
    vault = vault and _possible(settings)
    settings = with_vault(settings) if vault else settings
    with (
        _running(settings) as (stack, stopped),
        Screen(_links(settings)) as screen,
        Reader(settings.api_url) as reader,
    ):
        opening = VaultOpening(stack.settings, _say) if vault else None
        result = Demo(stack, screen, reader, stopped, opening).run(seconds, makers, traders)
    print(result.summary())
    for sentence in result.broken():
        print(f"BROKEN: {sentence}", file=sys.stderr)
    if report is not None:
        with told():
            result.write(report)
    if result.broken():
        raise typer.Exit(1)


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _possible(settings: Settings) -> bool:
    """Whether there can be a demonstration vault; if not, it is said why."""
    why = impossible(settings)
    if why:
        _say(f"no demonstration vault: {why}")
    return not why


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
    own_temporal = ("Temporal UI", f"http://127.0.0.1:{settings.temporal_ui_port}")
    return [
        ("API docs", f"{settings.api_url}/docs"),
        ("health", f"{settings.api_url}/health"),
        ("Temporal", settings.temporal_address) if settings.temporal_address else own_temporal,
    ]


@contextmanager
def _running(settings: Settings) -> Iterator[tuple[Stack, threading.Event]]:
    """A started stack, stopped at the end whatever happens. What cannot go on is one sentence and an exit code."""
    stopped = threading.Event()
    # Who started it with nohup wants it to outlive the terminal.
    closed = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    for number in (signal.SIGINT, signal.SIGTERM, *closed):
        signal.signal(number, lambda *_: stopped.set())
    stack = Stack(settings, _say, stopped)
    try:
        stack.start()
        yield stack, stopped
    except (StackFailed, NotReadable, NotReachable) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        # A full disk, above all: what a part of its own meets is in its log.
        print(f"It cannot go on: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except Stopped:
        print("stopped", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        stack.stop()
