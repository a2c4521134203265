"""`perpdex serve`: one process of the network."""

import asyncio
import gc

import typer

from endings import told
from settings import Settings

serve = typer.Typer(no_args_is_help=True, help="Run one process of the network.")


@serve.command("api")
def run_api() -> None:
    """The matcher with its HTTP and WebSocket interfaces."""
    # Each process imports its own when it is run: they have little in common. What is loaded and read back stays, and looking for
    # garbage in it again and again is a fifth of this start.
    gc.disable()
    import uvloop

    from serving import serve_api

    with told():
        uvloop.run(serve_api(Settings()))


@serve.command("projector")
def run_projector() -> None:
    """The writer of the journal's projections."""
    from projecting import serve_projector

    with told():
        asyncio.run(serve_projector(Settings()))
