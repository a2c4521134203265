"""`perpdex vault` and `perpdex nav`: vaults, whose they are and what they are worth, for operators and managers."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.positions_file import NotAFile, read_positions
from cli.vault_answers import AsJson, table, told, told_one
from cli.vault_callers import ME, Agent, As, Before, Id, Limit, ManagerKey, Why, before_of, door_of
from cli.vault_keys import key
from cli.vault_orders import orders
from cli.vault_risk import risk
from settings import Settings

vault = typer.Typer(no_args_is_help=True, help="Look at vaults and decide about them.")
vault.add_typer(key, name="key")
vault.add_typer(orders, name="orders")
vault.add_typer(risk, name="risk")
Manager = Annotated[int, typer.Option(help="account that decides about it")]
Venue = Annotated[str, typer.Option(help="where a symbol without a venue is")]
Fee = Annotated[int, typer.Option(help="parts per million of what is gained above the mark, for the manager")]
Key = Annotated[str, typer.Option(help="a name of your own: the same one again is the same transfer")]


class TransferStatus(StrEnum):
    """How a transfer stands."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@vault.command("list")
def list_vaults(
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
    limit: Limit = 100,
) -> None:
    """All vaults, in the order of their names."""
    with door_of(name, manager_key, agent) as door:
        told(as_json, door.get(f"/vaults?limit={limit}"), "vaults")


@vault.command()
def show(
    id: Id, as_json: AsJson = False, name: As = ME, manager_key: ManagerKey = None, agent: Agent = ""
) -> None:
    """One vault with its holders."""
    with door_of(name, manager_key, agent) as door:
        found = door.get(f"/vaults/{id}")
        holders = door.get(f"/vaults/{id}/holders")
    if as_json:
        print(json.dumps({**found, **holders}, indent=2))
    else:
        table([found])
        table(holders["holders"])


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
    with door_of(name) as door:
        told_one(as_json, door.send("POST", "/vaults", body))


@vault.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="positions.json: cash and positions by vault")],
    manager: Manager,
    holder: Annotated[int | None, typer.Option(help="whose they become; the manager's when left out")] = None,
    default_venue: Venue = "hyper",
    fee_ppm: Fee = 0,
    as_json: AsJson = False,
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
    made: list[dict[str, Any]] = []
    with door_of(name) as door:
        for id, (cash, positions) in held.items():
            terms = {"default_venue": default_venue, "performance_fee_ppm": fee_ppm, "holder": holder}
            body = {"id": id, "manager": manager, "cash": cash, "positions": positions, **terms}
            made.append(door.send("POST", "/vaults", body))
            if not as_json:
                print(f"{id}: {cash} USDC and {len(positions)} positions")
    if as_json:
        print(json.dumps({"vaults": made}, indent=2))


@vault.command()
def pause(
    id: Id,
    why: Why,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Take and send no orders of a vault but those that reduce a position. What waits at venues goes on: `vault orders cancel`."""
    with door_of(name, manager_key, agent) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/pause", {"paused": True, "why": why}))


@vault.command()
def resume(
    id: Id,
    why: Why,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Take a vault's orders again."""
    with door_of(name, manager_key, agent) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/pause", {"paused": False, "why": why}))


UnpricedLeg = Annotated[str, typer.Argument(help="venue::symbol, as the alert names it")]
NamedWhy = Annotated[str, typer.Option("--why", help="the reason, which stays with it")]


@vault.command()
def price(
    id: Id,
    leg: UnpricedLeg,
    price: Annotated[str, typer.Argument(help="USDC each; 0 for what is lost")],
    why: NamedWhy,
    position: Annotated[
        str | None,
        typer.Option(
            help="what the venue has of it, as difference_unpriced or venue_empty says: it is taken over"
        ),
    ] = None,
    as_json: AsJson = False,
    name: As = ME,
) -> None:
    """Name a price that nobody else knows: for a day of snapshots at most, or for a position that a venue has changed."""
    body = {"leg": leg, "price": price, "position": position, "why": why}
    with door_of(name) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/price", body))


@vault.command("withdraw-price")
def withdraw_price(id: Id, leg: UnpricedLeg, why: NamedWhy, as_json: AsJson = False, name: As = ME) -> None:
    """Have the price that an operator named for snapshots not count any more."""
    with door_of(name) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/price/withdraw", {"leg": leg, "why": why}))


@vault.command()
def changes(
    id: Id,
    before: Before = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Who made, paused and resumed a vault, made and revoked its keys, took its orders back, newest first, and why."""
    with door_of(name, manager_key, agent) as door:
        told(as_json, door.get(f"/vaults/{id}/changes?limit={limit}{before_of(before)}"), "changes")


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
    with door_of(name) as door:
        body = {"key": key, "holder": holder, "amount": amount}
        told_one(as_json, door.send("POST", f"/vaults/{id}/deposits", body))


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
    with door_of(name) as door:
        body = {"key": key, "holder": holder, "shares": shares}
        told_one(as_json, door.send("POST", f"/vaults/{id}/withdrawals", body))


@vault.command()
def transfers(
    id: Id,
    before: Before = None,
    status: Annotated[TransferStatus | None, typer.Option(help="only those that stand so")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Deposits and withdrawals of a vault, newest first."""
    only = "" if status is None else f"&status={status}"
    with door_of(name, manager_key, agent) as door:
        found = door.get(f"/vaults/{id}/transfers?limit={limit}{before_of(before)}{only}")
        told(as_json, found, "transfers")


@vault.command()
def cancel(
    id: Id,
    number: Annotated[int, typer.Argument(help="the transfer's, as `perpdex vault transfers` has it")],
    why: Why,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Take back a deposit or withdrawal that waits: whoever asked for it, or an operator."""
    with door_of(name, manager_key, agent) as door:
        told_one(as_json, door.send("POST", f"/vaults/{id}/transfers/{number}/cancel", {"why": why}))


def nav(
    id: Annotated[str, typer.Argument(help="one vault only, leg by leg")] = "",
    history: Annotated[bool, typer.Option(help="its snapshots, newest first")] = False,
    alerts: Annotated[bool, typer.Option(help="what was said of its snapshots, newest first")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """What vaults are worth, as of the newest snapshot of each, by venue."""
    if (history or alerts) and not id:
        print("history and alerts are of one vault: name it", file=sys.stderr)
        raise typer.Exit(2)
    with door_of(name, manager_key, agent) as door:
        if alerts:
            told(as_json, door.get(f"/nav/alerts?vault={id}&limit={limit}"), "alerts")
            return
        of = f"/history?vault={id}&limit={limit}" if history else f"?limit={limit}"
        found = door.get(f"/nav?vault={id}" if id and not history else f"/nav{of}")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table([_worth(one) for one in found["navs"]])
    if id and not history:
        table(
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
    return {
        **{name: one[name] for name in kept},
        "venues": by_venue,
        "doubts": ", ".join(one["doubts"]),
        "demo prices": ", ".join(_priced_by(one, "demo")),
        "operators' prices": ", ".join(_priced_by(one, "operator")),
    }


def _priced_by(one: dict[str, Any], standing: str) -> list[str]:
    return [
        f"{at['venue']}::{leg['symbol']}"
        for at in one["venues"]
        for leg in at["legs"]
        if leg["standing"] == standing
    ]
