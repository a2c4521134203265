"""`perpdex statement`: an account's statement from the ledger, as JSON or CSV, however long; the exchange need not run."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from endings import told
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.statement_text import as_csv, pieces, told_batch, told_period
from places import database_url
from settings import Settings

MICROSECOND: Final = 1_000
FOR_EVER: Final = 1 << 62


def statement(
    account: Annotated[int, typer.Argument(min=1, help="the account's number")],
    start: Annotated[
        str, typer.Option("--from", help="ISO date or instant, UTC; default: from the start")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="the same, exclusive; default: up to now")] = "",
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON")] = False,
) -> None:
    """Opening balance, fills, fees, funding, money in and out, closing balance: exit code 2 when nobody has the account."""
    try:
        period = (_nanos(start, 0), _nanos(end, FOR_EVER))
    except ValueError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    with told():
        if not asyncio.run(_print(Settings(), account, *period, csv)):
            print(f"there is no account {account} in the ledger", file=sys.stderr)
            raise typer.Exit(2)


async def _print(settings: Settings, account: int, start: int, end: int, csv: bool) -> bool:
    pool = open_pool(database_url(settings))
    queries = Queries(pool)
    try:
        of = await queries.period(account, start, end, None)
        if of is None:
            return False
        units = await queries.markets()
        if csv:
            async for text in as_csv(queries, of, units):
                sys.stdout.write(text)
            return True
        settled = await queries.last_settled(of)
        head = {**told_period(of), "settled": told_batch(settled) if settled is not None else None}
        # Written as it is read: a year of a busy maker does not fit into memory.
        sys.stdout.write(json.dumps(head)[:-1] + ', "lines": [')
        separator = ""
        async for piece in pieces(queries, of, units):
            for line in piece:
                sys.stdout.write(f"{separator}\n{json.dumps(line)}")
                separator = ","
        sys.stdout.write("]}\n")
        return True
    finally:
        await pool.dispose()


def _nanos(text: str, default: int) -> int:
    """An ISO date or instant; one without an offset is UTC. Raises `ValueError`."""
    if not text:
        return default
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * MICROSECOND
