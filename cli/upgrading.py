"""`perpdex ledger`: bring the ledger's tables to this release, and what else is done while nobody works with them."""

from typing import Annotated

import typer

from cli.moving_accounts import forget_account
from cli.rebuilding import rebuild
from cli.stopped import NOT_DONE, refuse, refuse_while_used
from endings import told
from ledger.migrate import Migration, Schema, SchemaNewer, schema, upgrade
from places import database_url
from settings import Settings

ledger = typer.Typer(no_args_is_help=True, help="Look after the ledger's database.")
ledger.command("rebuild")(rebuild)
ledger.command("forget-account")(forget_account)


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
            refuse(str(error))
        print(_place(found))
        if not found.missing:
            print("nothing to do")
            return
        _list("to do:", found.missing)
        refuse_while_used(url, settings.api_url)
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
