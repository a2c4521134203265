"""Who asks about vaults at a terminal: an operator by its credential, or a vault's manager by the key that it signs in with."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.door import Door, NotDone, token_of
from settings import Settings

Id = Annotated[str, typer.Argument(help="the vault's name")]
Why = Annotated[str, typer.Option(help="the reason, which stays with it")]
Limit = Annotated[int, typer.Option(help="how many at most")]
Before = Annotated[int | None, typer.Option(help="number of the last one of the page before")]
As = Annotated[str, typer.Option("--as", help="whose credential: keys/operators/NAME.token")]
ManagerKey = Annotated[
    Path | None, typer.Option(help="key file of the vault's manager, who then asks instead of an operator")
]
Agent = Annotated[str, typer.Option(help="name that the manager goes by; that of its key file when left out")]
ME: Final = "operator"


def before_of(number: int | None) -> str:
    """What of a question says so."""
    return "" if number is None else f"&before={number}"


@contextmanager
def door_of(name: str, manager_key: Path | None = None, agent: str = "") -> Iterator[Door]:
    """The API for the operator of that name, or for the manager with that key file; what it refuses is a sentence and exit code 1."""
    settings = Settings()
    try:
        if manager_key is None:
            token = token_of(settings, name)
        elif not manager_key.is_file():
            # Signing in would make it.
            raise NotDone(f"there is no key file {manager_key}")
        else:
            token = asyncio.run(_session(settings.api_url, manager_key, agent or manager_key.stem))
        with Door(settings.api_url, token) as door:
            yield door
    except NotDone as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


async def _session(url: str, key_file: Path, name: str) -> str:
    """The token of a new session. Raises `NotDone`."""
    # Here, because the operator's commands need nothing of it.
    from perpdex_sdk.errors import ExchangeError
    from perpdex_sdk.manager import signed_in

    try:
        rest, session = await signed_in(url, key_file, name)
    except (ExchangeError, OSError) as error:
        raise NotDone(f"{key_file} cannot sign in at {url}: {error}") from None
    await rest.close()
    return session.token
