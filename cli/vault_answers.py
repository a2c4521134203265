"""What the exchange answers about vaults: tables for people, JSON for programs."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from core.quantities import MILLION

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]
WIDTH: Final = 400
"""A table takes what it needs of it: on a narrower screen its lines wrap, and no figure is cut."""


def told(as_json: bool, answer: dict[str, Any], of: str) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        table(answer[of])


def told_one(as_json: bool, answer: dict[str, Any]) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        table([answer])


def table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("none")
        return
    shown = Table(*rows[0])
    for row in rows:
        shown.add_row(*(_cell(name, value) for name, value in row.items()))
    Console(width=WIDTH).print(shown)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "at" or name.endswith("_at"):
        return datetime.fromtimestamp(value // MILLION, UTC).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell('', inner)}" for key, inner in value.items() if inner is not None)
    return str(value)
