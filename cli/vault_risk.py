"""`perpdex vault risk`: what a vault may trade, looked at and set by an operator, or made narrower by its manager."""

import json
import sys
from typing import Annotated, Any

import typer

from cli.vault_answers import AsJson, table, told
from cli.vault_callers import ME, Agent, As, Id, Limit, ManagerKey, Why, door_of
from settings import Settings

risk = typer.Typer(no_args_is_help=True, help="Look at what a vault may trade, and say what it may.")


@risk.command()
def show(
    id: Id, manager_key: ManagerKey = None, agent: Agent = "", as_json: AsJson = False, name: As = ME
) -> None:
    """What it may trade now, the most that its manager may allow, and what operator and manager said."""
    with door_of(name, manager_key, agent) as door:
        _shown(as_json, door.get(f"/vaults/{id}/risk"))


@risk.command()
def versions(
    id: Id,
    limit: Limit = 100,
    manager_key: ManagerKey = None,
    agent: Agent = "",
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Everything that was ever said, newest first, with who said it, when and why."""
    with door_of(name, manager_key, agent) as door:
        told(as_json, door.get(f"/vaults/{id}/risk/versions?limit={limit}"), "versions")


@risk.command("set")
def set_rules(
    id: Id,
    symbols: Annotated[str | None, typer.Option(help="separated by commas; * for all")] = None,
    venues: Annotated[str | None, typer.Option(help="separated by commas")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="VENUE:NAME=NUMBER, such as hyper:maxLeverage=5, repeated")
    ] = None,
    silent: Annotated[bool, typer.Option(help="say nothing about this vault any more")] = False,
    why: Why = "",
    manager_key: ManagerKey = None,
    agent: Agent = "",
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Replace all that the caller's side said of the vault. An operator may widen; a manager only narrows."""
    # What is set wrong is said first, as by every command.
    Settings()
    limits = _limits(limit)
    if silent == (symbols is not None or venues is not None or limits is not None):
        print("say what it may trade, or --silent for nothing any more", file=sys.stderr)
        raise typer.Exit(2)
    body = {"allowedSymbols": symbols, "allowedVenues": venues, "perVenue": limits, "why": why}
    with door_of(name, manager_key, agent) as door:
        _shown(as_json, door.send("PUT", f"/vaults/{id}/risk", body))


def _shown(as_json: bool, found: dict[str, Any]) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        table([{"rules": of, **found[of]} for of in ("effective", "ceiling", "operator", "manager")])


def _limits(given: list[str] | None) -> dict[str, dict[str, int]] | None:
    """By venue. Exits with 2 for what is no limit."""
    found: dict[str, dict[str, int]] = {}
    for text in given or ():
        venue, _, rest = text.partition(":")
        word, _, number = rest.partition("=")
        if not venue or not word or not number.isdecimal():
            print(f"{text}: a limit is VENUE:NAME=NUMBER", file=sys.stderr)
            raise typer.Exit(2)
        found.setdefault(venue, {})[word] = int(number)
    return found or None
