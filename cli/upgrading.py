"""`perpdex ledger upgrade`: bring the ledger's tables to this release, while nobody works with them."""

import json
import sys
import urllib.request
from typing import Annotated, Final, NoReturn

import typer

from cli.probes import TIMEOUT_S
from endings import told
from ledger.migrate import Migration, Schema, SchemaNewer, schema, upgrade, users
from places import database_url
from settings import Settings

ledger = typer.Typer(no_args_is_help=True, help="Look after the ledger's database.")
NOT_DONE: Final = 1


@ledger.callback()
def _ledger() -> None:
    """Look after the ledger's database."""


@ledger.command("upgrade")
def upgrade_tables(
    check: Annotated[
        bool, typer.Option("--check", help="only say what it would do: exit code 1 when there is something")
    ] = False,
) -> None:
    """Bring the tables to this release, all of it or nothing. Not while the exchange runs: exit code 1, and nothing was changed."""
    with told():
        settings = Settings()
        url = database_url(settings)
        try:
            found = schema(url)
        except SchemaNewer as error:
            _refuse(str(error))
        print(_place(found))
        if not found.missing:
            print("nothing to do")
            return
        _list("to do:", found.missing)
        running = users(url) + _answering(settings.api_url)
        if running:
            _refuse(
                f"not while the exchange runs: {', '.join(running)}. Stop all of its processes first; nothing was changed"
            )
        if check:
            raise typer.Exit(NOT_DONE)
        upgrade(url)
        print(f"done: the ledger is at {schema(url).at}")


def _place(found: Schema) -> str:
    return f"the ledger is {f'at {found.at}' if found.at else 'empty'}, this release has {found.head}"


def _list(head: str, migrations: list[Migration]) -> None:
    print(head)
    for one in migrations:
        print(f"  {one.number} {one.what}")


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise typer.Exit(NOT_DONE)


def _answering(url: str) -> list[str]:
    """The API at a URL, when it is one of ours: it may not have asked its database for anything yet."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=TIMEOUT_S) as response:
            said = json.load(response)
    except (OSError, ValueError):
        return []
    return [f"the API at {url}"] if isinstance(said, dict) and "disk_free_bytes" in said else []
