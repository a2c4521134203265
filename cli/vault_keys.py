"""`perpdex vault key`: keys for a vault's orders, made by its manager, listed and revoked by it or by an operator."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.vault_answers import AsJson, table, told, told_one
from cli.vault_callers import ME, Agent, As, Id, Limit, ManagerKey, Why, door_of

key = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys for a vault's orders.")


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    TRADE = "trade"


MakersKey = Annotated[Path, typer.Option("--manager-key", help="key file of the vault's manager")]


@key.command()
def create(
    id: Id,
    manager_key: MakersKey,
    name: Annotated[str, typer.Option(help="whose it is: orders keep it")],
    scope: Annotated[list[Scope] | None, typer.Option(help="repeated; both when left out")] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="how long it is good")] = 30,
    to: Annotated[
        Path | None,
        typer.Option(help="file that it is written to, for nobody else to read, instead of being shown"),
    ] = None,
    agent: Agent = "",
    as_json: AsJson = False,
) -> None:
    """Make a key, which is shown this once. It ends with the manager's sessions, or when it is revoked."""
    body = {"vault": id, "name": name, "scopes": scope or list(Scope), "days": days}
    with door_of("", manager_key, agent) as door:
        made = door.send("POST", "/quant/keys", body)
    if to is not None:
        from perpdex_sdk import files

        files.replace(to, made["key"].encode() + b"\n")
        made["key"] = str(to)
    if as_json:
        print(json.dumps(made, indent=2))
        return
    table([{what: value for what, value in made.items() if what != "key"}])
    # Not in a table, where it would be broken over lines.
    print(made["key"])


@key.command("list")
def list_keys(
    id: Id,
    before: Annotated[str, typer.Option(help="id of the last key of the page before")] = "",
    limit: Limit = 100,
    manager_key: ManagerKey = None,
    agent: Agent = "",
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Keys that were made, newest first, with who revoked which and why."""
    with door_of(name, manager_key, agent) as door:
        told(as_json, door.get(f"/vaults/{id}/keys?limit={limit}&before={before}"), "keys")


@key.command()
def revoke(
    id: Id,
    key: Annotated[str, typer.Argument(help="the key's id, as `perpdex vault key list` has it")],
    why: Why,
    manager_key: ManagerKey = None,
    agent: Agent = "",
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """End one key at once. Orders that it placed go on; `perpdex vault pause` stops new ones of all keys."""
    with door_of(name, manager_key, agent) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/keys/{key}/revoke", {"why": why}))
