"""What the exchange answers about vaults: tables for people, JSON for programs."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.tables import print_table
from core.quantities import MILLION

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table")]


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
    print_table(rows[0], [[_cell(name, value) for name, value in row.items()] for row in rows])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "at" or name.endswith("_at"):
        return datetime.fromtimestamp(value // MILLION, UTC).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dict):
        return "; ".join(f"{key} {_cell('', inner)}" for key, inner in value.items() if inner is not None)
    return str(value)
