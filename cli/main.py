"""`perpdex`: run the whole network, or one of its processes."""

import asyncio
import signal
import sys
import threading
from typing import Annotated

import typer
import uvloop

from cli.processes import StackFailed
from cli.stack import Stack
from settings import Settings
from wiring import serve_api, serve_projector

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="AI Perp DEX: agents trade perpetual futures with each other.",
)
serve = typer.Typer(no_args_is_help=True, help="Run one process of the network.")
app.add_typer(serve, name="serve")


@serve.command("api")
def run_api() -> None:
    """The matcher with its HTTP and WebSocket interfaces."""
    uvloop.run(serve_api(Settings()))


@serve.command("projector")
def run_projector() -> None:
    """The writer of the journal's projections."""
    asyncio.run(serve_projector(Settings()))


@app.command()
def up(
    makers: Annotated[int, typer.Option(min=0, help="demonstration makers")] = 3,
    traders: Annotated[int, typer.Option(min=0, help="demonstration traders")] = 6,
) -> None:
    """Start everything with a few demonstration agents, until Ctrl-C."""
    settings = Settings()
    settings = settings.model_copy(update={"api_url": f"http://127.0.0.1:{settings.api_port}"})
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stack = Stack(settings, lambda line: print(f"  {line}", flush=True))
    try:
        stack.start()
        for role, count in (("maker", makers), ("trader", traders)):
            if count:
                stack.start_agents(role, count)
        print(f"API docs     {settings.api_url}/docs")
        print(f"health       {settings.api_url}/health")
        print(f"Temporal UI  http://127.0.0.1:{settings.temporal_ui_port}", flush=True)
        while not stopped.wait(1.0):
            stack.watch()
    except StackFailed as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        stack.stop()


def main() -> None:
    """Entry of the `perpdex` command."""
    app()


if __name__ == "__main__":
    main()
