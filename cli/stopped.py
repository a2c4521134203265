"""What commands that change the ledger beneath the exchange ask for first: that nobody works with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

from cli.probes import answering
from ledger.embedded import EmbeddedPostgres, PostgresFailed
from ledger.migrate import SchemaNewer, schema, users
from places import database_url
from settings import Settings

NOT_DONE: Final = 1


@contextmanager
def stopped_ledger(settings: Settings) -> Iterator[str]:
    """The address of a ledger that nobody works with; where somebody does, it is said who, exit code 1.

    The embedded database ends with the exchange, so it runs for as long as this does. Raises `NotReachable`.
    """
    directory = settings.perpdex_data / "postgres"
    if settings.database_url or not directory.exists():
        url = database_url(settings)
        _must_be_free(url, settings.api_url)
        yield url
        return
    server = EmbeddedPostgres(directory)
    try:
        url = server.start()
    except PostgresFailed as error:
        refuse(f"{error}: stop the exchange first; nothing was changed")
    try:
        _must_be_free(url, settings.api_url)
        yield url
    finally:
        server.stop()


def _must_be_free(url: str, api_url: str) -> None:
    try:
        found = schema(url)
    except SchemaNewer as error:
        refuse(str(error))
    if found.missing:
        refuse("the tables are not of this release: `perpdex ledger upgrade` first; nothing was changed")
    refuse_while_used(url, api_url)


def refuse_while_used(url: str, api_url: str) -> None:
    """Say who works with the database, exit code 1; return when nobody does."""
    running = users(url) + answering(api_url)
    if running:
        refuse(
            f"not while the exchange runs: {', '.join(running)}. Stop all of its processes first; nothing was changed"
        )


def refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise typer.Exit(NOT_DONE)
