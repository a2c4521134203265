"""`perpdex vault` and `perpdex nav`: vaults, their rules, whose they are and what they are worth, through the operator door."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from cli.door import Door, NotDone, token_of
from cli.positions_file import NotAFile, read_positions
from core.quantities import MILLION
from settings import Settings

vault = typer.Typer(no_args_is_help=True, help="Look at vaults and decide about them.")
Id = Annotated[str, typer.Argument(help="the vault's name")]
Why = Annotated[str, typer.Option(help="the reason, which stays with it")]
As = Annotated[str, typer.Option("--as", help="whose credential: keys/operators/NAME.token")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]
Limit = Annotated[int, typer.Option(help="how many at most")]
Manager = Annotated[int, typer.Option(help="account that decides about it")]
Venue = Annotated[str, typer.Option(help="where a symbol without a venue is")]
Fee = Annotated[int, typer.Option(help="parts per million of what is gained above the mark, for the manager")]
Key = Annotated[str, typer.Option(help="a name of your own: the same one again is the same transfer")]
ME = "operator"
WIDTH: Final = 400
"""A table takes what it needs of it: on a narrower screen its lines wrap, and no figure is cut."""


@vault.command("list")
def list_vaults(as_json: AsJson = False, name: As = ME, limit: Limit = 100) -> None:
    """All vaults, in the order of their names."""
    with _door(name) as door:
        _told(as_json, door.get(f"/vaults?limit={limit}"), "vaults")


@vault.command()
def show(id: Id, as_json: AsJson = False, name: As = ME) -> None:
    """One vault with its holders."""
    with _door(name) as door:
        found = door.get(f"/vaults/{id}")
        holders = door.get(f"/vaults/{id}/holders")
    if as_json:
        print(json.dumps({**found, **holders}, indent=2))
    else:
        _table([found])
        _table(holders["holders"])


@vault.command()
def make(
    id: Id,
    manager: Manager,
    default_venue: Venue = "hyper",
    fee_ppm: Fee = 0,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Make a vault, which holds nothing."""
    body = {
        "id": id,
        "manager": manager,
        "default_venue": default_venue,
        "performance_fee_ppm": fee_ppm,
    }
    with _door(name) as door:
        _told_one(as_json, door.send("POST", "/vaults", body))


@vault.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="positions.json: cash and positions by vault")],
    manager: Manager,
    holder: Annotated[int | None, typer.Option(help="whose they become; the manager's when left out")] = None,
    default_venue: Venue = "hyper",
    fee_ppm: Fee = 0,
    name: As = ME,
) -> None:
    """Make vaults of what a file says they hold, which becomes the holder's at the next snapshot. Again, it changes nothing."""
    # What is set wrong is said first, as by every command.
    Settings()
    try:
        held = read_positions(file.read_text(), default_venue)
    except (NotAFile, OSError) as error:
        print(f"nothing was made: {file}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    with _door(name) as door:
        for id, (cash, positions) in held.items():
            terms = {"default_venue": default_venue, "performance_fee_ppm": fee_ppm, "holder": holder}
            body = {"id": id, "manager": manager, "cash": cash, "positions": positions, **terms}
            door.send("POST", "/vaults", body)
            print(f"{id}: {cash} USDC and {len(positions)} positions")


@vault.command()
def pause(id: Id, why: Why, as_json: AsJson = False, name: As = ME) -> None:
    """Take no orders of a vault. What is open at venues goes on."""
    with _door(name) as door:
        _told_one(as_json, door.send("POST", f"/vaults/{id}/pause", {"paused": True, "why": why}))


@vault.command()
def resume(id: Id, why: Why, as_json: AsJson = False, name: As = ME) -> None:
    """Take a vault's orders again."""
    with _door(name) as door:
        _told_one(as_json, door.send("POST", f"/vaults/{id}/pause", {"paused": False, "why": why}))


@vault.command()
def changes(id: Id, limit: Limit = 100, as_json: AsJson = False, name: As = ME) -> None:
    """Who made, paused and resumed a vault, and made and revoked its keys, newest first, and why."""
    with _door(name) as door:
        _told(as_json, door.get(f"/vaults/{id}/changes?limit={limit}"), "changes")


@vault.command()
def keys(id: Id, limit: Limit = 100, as_json: AsJson = False, name: As = ME) -> None:
    """Keys that were made for a vault's orders, newest first, with who revoked which and why."""
    with _door(name) as door:
        _told(as_json, door.get(f"/vaults/{id}/keys?limit={limit}"), "keys")


@vault.command("revoke-key")
def revoke_key(
    id: Id,
    key: Annotated[str, typer.Argument(help="the key's id, as `perpdex vault keys` has it")],
    why: Why,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """End one key at once. Orders that it placed go on; `perpdex vault pause` stops new ones of all keys."""
    with _door(name) as door:
        _told_one(as_json, door.send("POST", f"/vaults/{id}/keys/{key}/revoke", {"why": why}))


@vault.command()
def risk(
    id: Id,
    symbols: Annotated[str | None, typer.Option(help="separated by commas; * for all")] = None,
    venues: Annotated[str | None, typer.Option(help="separated by commas")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="VENUE:NAME=NUMBER, such as hyper:maxLeverage=5, repeated")
    ] = None,
    silent: Annotated[bool, typer.Option(help="say nothing about this vault any more")] = False,
    why: Annotated[str, typer.Option(help="the reason, which stays with it")] = "",
    versions: Annotated[bool, typer.Option(help="every version instead, newest first")] = False,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """What a vault may trade. With rules: what the operator says of it from now on, in place of all that it said before."""
    with _door(name) as door:
        if versions:
            _told(as_json, door.get(f"/vaults/{id}/risk/versions"), "versions")
            return
        if silent or symbols is not None or venues is not None or limit:
            body = {"allowedSymbols": symbols, "allowedVenues": venues, "why": why}
            found = door.send("PUT", f"/vaults/{id}/risk", body | {"perVenue": _limits(limit)})
        else:
            found = door.get(f"/vaults/{id}/risk")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    rows = [{"rules": of, **found[of]} for of in ("effective", "ceiling", "operator", "manager")]
    _table(rows)


@vault.command()
def deposit(
    id: Id,
    amount: Annotated[str, typer.Argument(help="USDC")],
    holder: Annotated[int, typer.Option(help="whose")],
    key: Key,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Book money that has come in; it becomes shares at the next snapshot's value."""
    with _door(name) as door:
        body = {"key": key, "holder": holder, "amount": amount}
        _told_one(as_json, door.send("POST", f"/vaults/{id}/deposits", body))


@vault.command()
def withdraw(
    id: Id,
    shares: Annotated[str, typer.Argument(help="how many go back")],
    holder: Annotated[int, typer.Option(help="whose")],
    key: Key,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Give shares back, for money at the next snapshot's value."""
    with _door(name) as door:
        body = {"key": key, "holder": holder, "shares": shares}
        _told_one(as_json, door.send("POST", f"/vaults/{id}/withdrawals", body))


@vault.command()
def transfers(id: Id, limit: Limit = 50, as_json: AsJson = False, name: As = ME) -> None:
    """Deposits and withdrawals of a vault, newest first."""
    with _door(name) as door:
        _told(as_json, door.get(f"/vaults/{id}/transfers?limit={limit}"), "transfers")


def nav(
    id: Annotated[str, typer.Argument(help="one vault only, leg by leg")] = "",
    history: Annotated[bool, typer.Option(help="its snapshots, newest first")] = False,
    alerts: Annotated[bool, typer.Option(help="what was said of its snapshots, newest first")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """What vaults are worth, as of the newest snapshot of each, by venue."""
    if (history or alerts) and not id:
        print("history and alerts are of one vault: name it", file=sys.stderr)
        raise typer.Exit(2)
    with _door(name) as door:
        if alerts:
            _told(as_json, door.get(f"/nav/alerts?vault={id}&limit={limit}"), "alerts")
            return
        of = f"/history?vault={id}&limit={limit}" if history else f"?limit={limit}"
        found = door.get(f"/nav?vault={id}" if id and not history else f"/nav{of}")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    _table([_worth(one) for one in found["navs"]])
    if id and not history:
        _table(
            [
                {"venue": at["venue"], **leg}
                for one in found["navs"]
                for at in one["venues"]
                for leg in at["legs"]
            ]
        )


def _worth(one: dict[str, Any]) -> dict[str, Any]:
    by_venue = ", ".join(f"{at['venue']} {at['value']}" for at in one["venues"])
    kept = ("vault", "at", "nav", "cash", "nav_per_share", "shares")
    return {**{name: one[name] for name in kept}, "venues": by_venue, "doubts": ", ".join(one["doubts"])}


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


def _told(as_json: bool, answer: dict[str, Any], of: str) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _table(answer[of])


def _told_one(as_json: bool, answer: dict[str, Any]) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _table([answer])


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("none")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    Console(width=WIDTH).print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "at" or name.endswith("_at"):
        return datetime.fromtimestamp(value // MILLION, UTC).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell('', inner)}" for key, inner in value.items() if inner is not None)
    return str(value)


@contextmanager
def _door(name: str) -> Iterator[Door]:
    """The operator door; what it refuses is a sentence and exit code 1."""
    settings = Settings()
    try:
        with Door(settings.api_url, token_of(settings, name)) as door:
            yield door
    except NotDone as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
