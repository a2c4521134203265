"""`perpdex ledger forget-account`: let a vault trade from another account of a venue from now on."""

import asyncio
import time
from typing import Annotated

import typer

from cli.stopped import refuse, stopped_ledger
from endings import told
from ledger.database import open_pool
from ledger.venue_accounts import give_up_account
from settings import Settings


def forget_account(
    vault: Annotated[str, typer.Argument(help="name of the vault")],
    venue: Annotated[str, typer.Argument(help="as in EXEC_ALLOWED_VENUES")],
    by: Annotated[str, typer.Option(help="who decides, as it stays among the vault's changes")],
    why: Annotated[str, typer.Option(help="the reason, which stays with it")],
) -> None:
    """Forget which account a vault has at a venue: the one that is used next there is its account from then on.

    What that has is taken over as positions that differ, and what it did before is none of the vault's. Not while the exchange runs,
    nor while an order of the vault there has not ended: exit code 1, and nothing was changed.
    """
    with told():
        with stopped_ledger(Settings()) as url:
            refused = asyncio.run(_given_up(url, vault, venue, by, why))
        if refused is not None:
            refuse(f"{vault} keeps its account at {venue}: {refused}; nothing was changed")
        print(f"the next account that {vault} uses at {venue} is its account there")


async def _given_up(url: str, vault: str, venue: str, by: str, why: str) -> str | None:
    pool = open_pool(url)
    try:
        async with pool.begin() as connection:
            return await give_up_account(connection, vault, venue, by, why, time.time_ns())
    finally:
        await pool.dispose()
