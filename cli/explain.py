"""`perpdex explain`: how something came about, from the journal."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cli.explained_end import EndUnknown, account_of_end
from cli.explained_sales import account_of_sales
from cli.explanation import LiquidationUnknown, account_of
from matcher.recovery import JournalCorrupt
from settings import Settings

explain = typer.Typer(
    no_args_is_help=True, help="Say from the journal how something came about, and check it."
)
Journal = Annotated[Path | None, typer.Option(help="the journal's directory; default: that of PERPDEX_DATA")]
Archive = Annotated[Path | None, typer.Option(help="where records are that were moved out of the journal")]


@explain.command("liquidation")
def explain_liquidation(
    number: Annotated[int, typer.Argument(min=1, help="the liquidation's number")],
    journal: Journal = None,
    archive: Archive = None,
) -> None:
    """Derive every step of a liquidation again: exit code 0 when all records follow from those before them, 1 when not."""
    _tell(lambda directory: account_of(directory, number, archive), journal)


@explain.command("delisting")
def explain_delisting(
    symbol: Annotated[str, typer.Argument(help="the market's symbol, such as BTC-PERP")],
    journal: Journal = None,
    archive: Archive = None,
) -> None:
    """Derive a market's end and its price again: exit code 0 when the record follows from those before it, 1 when not."""
    _tell(lambda directory: account_of_end(directory, symbol, archive), journal)


@explain.command("sales")
def explain_sales(journal: Journal = None, archive: Archive = None) -> None:
    """Derive again what was sold for the insurance fund and for owners that leave: exit code 0 when all follows, 1 when not."""
    _tell(lambda directory: account_of_sales(directory, archive), journal)


def _tell(account: Callable[[Path], tuple[list[str], int]], journal: Path | None) -> None:
    """Print what `account` derives from the journal; exit code 1 where it found differences, 2 where there is nothing to derive."""
    try:
        lines, differences = account(journal or Settings().perpdex_data / "journal")
    except (JournalCorrupt, LiquidationUnknown, EndUnknown) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join(lines))
    if differences:
        raise typer.Exit(1)
