"""`perpdex explain`: how something came about, from the journal."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.explained_end import EndUnknown, account_of_end
from cli.explanation import LiquidationUnknown, account_of
from matcher.recovery import JournalCorrupt
from settings import Settings

explain = typer.Typer(
    no_args_is_help=True, help="Say from the journal how something came about, and check it."
)


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


@explain.command("delisting")
def explain_delisting(
    symbol: Annotated[str, typer.Argument(help="the market's symbol, such as BTC-PERP")],
    journal: Annotated[
        Path | None, typer.Option(help="the journal's directory; default: that of PERPDEX_DATA")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="where records are that were moved out of the journal")
    ] = None,
) -> None:
    """Derive a market's end and its price again: exit code 0 when the record follows from those before it, 1 when not."""
    directory = journal or Settings().perpdex_data / "journal"
    try:
        lines, differences = account_of_end(directory, symbol, archive)
    except (JournalCorrupt, EndUnknown) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join(lines))
    if differences:
        raise typer.Exit(1)
