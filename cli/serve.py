"""`perpdex serve`: one process of the network."""

import asyncio

import typer
import uvloop

from endings import told
from serving import serve_api, serve_projector
from settings import Settings

serve = typer.Typer(no_args_is_help=True, help="Run one process of the network.")


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
