"""`perpdex verify`: the SDK's check of a proof."""

from pathlib import Path
from typing import Annotated

import typer

from perpdex_sdk.verify import run


def verify(
    file: Annotated[Path, typer.Argument(help="a proof, as the SDK saves it")],
    rpc: Annotated[str, typer.Option(help="URL of a Solana node")],
    escrow: Annotated[str | None, typer.Option(help="address of the escrow that it must be about")] = None,
) -> None:
    """Check a proof with nothing but its file and a node: exit code 0 when it is proven, 1 when not, 2 when that cannot be said."""
    raise typer.Exit(run(file, rpc, escrow))
