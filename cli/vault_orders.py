"""`perpdex vault orders`: what of a vault waits, and taking it back, by an operator or its manager, without any of its keys."""

import json
from typing import Annotated, Any

import typer

from cli.vault_answers import AsJson, table
from cli.vault_callers import ME, Agent, As, Id, ManagerKey, Why, door_of

orders = typer.Typer(
    no_args_is_help=True, help="List a vault's orders that have not ended, and take them back."
)


@orders.command("list")
def list_orders(
    id: Id, as_json: AsJson = False, name: As = ME, manager_key: ManagerKey = None, agent: Agent = ""
) -> None:
    """Orders that wait at venues or are yet to be sent, the oldest first."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    with door_of(name, manager_key, agent) as door:
        while after is not None:
            page = door.get(f"/vaults/{id}/orders?after={after}&limit=500")
            found, after = found + page["orders"], page["next"]
    _told(as_json, found)


@orders.command()
def cancel(
    id: Id,
    why: Why,
    client_id: Annotated[str | None, typer.Argument(help="one order; all that wait when left out")] = None,
    as_json: AsJson = False,
    name: As = ME,
    manager_key: ManagerKey = None,
    agent: Agent = "",
) -> None:
    """Take back one order, or all that wait: what to do after `vault pause`, and after a venue was set to close only.

    Exit code 1 where one was not taken back: its `code` says why, and the same again asks again.
    """
    found: list[dict[str, Any]] = []
    after: int | None = 0
    with door_of(name, manager_key, agent) as door:
        while after is not None:
            body = {"client_id": client_id, "after": after, "why": why}
            page = door.send("POST", f"/vaults/{id}/orders/cancel", body)
            found, after = found + page["orders"], page["next"]
    _told(as_json, found)
    if any(one["code"] and one["status"] in ("accepted", "sent", "open") for one in found):
        raise typer.Exit(1)


def _told(as_json: bool, found: list[dict[str, Any]]) -> None:
    if as_json:
        print(json.dumps({"orders": found}, indent=2))
        return
    shown = ("client_id", "venue", "symbol", "side", "size", "filled", "status", "code", "message")
    table([{name: one[name] for name in shown} for one in found])
