"""`perpdex`: run the whole network, one of its processes, or look at it and decide about it.

A command's module is imported when it is called: neither a process of the network nor who asks for one figure waits for all of them.
"""

import gc
import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from endings import wrong_setting

COMMANDS: Final = {
    "up": "network",
    "demo": "network",
    "serve": "serve",
    "codec": "codec",
    "market": "operating",
    "withdrawals": "operating",
    "insurance": "operating",
    "review": "operating",
    "audit": "operating",
    "journal": "journal",
    "ledger": "upgrading",
    "settlement": "groups",
    "escrow": "groups",
    "reconcile": "reconciling",
    "statement": "statements",
    "verify": "verifying",
    "explain": "explain",
    "stress": "stress",
    "venues": "venues",
    "vault": "vaults",
    "nav": "vaults",
    "quant-order": "quant",
    "quant-positions": "quant",
}
"""The module of each command here; it has a function or a group of the command's name, with _ for -."""


class Lazy(TyperGroup):
    """Imports what is called, and all for the help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _imported(cmd_name) if cmd_name in COMMANDS else None


def _imported(name: str) -> Any:
    # What is loaded stays: looking for garbage in it is an eighth of the time that it takes.
    gc.disable()
    try:
        found = getattr(import_module(f"cli.{COMMANDS[name]}"), name.replace("-", "_"))
    finally:
        gc.enable()
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name)(found)
    return get_command(single)


app = typer.Typer(
    cls=Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="AI Perp DEX: agents trade perpetual futures with each other.",
)


@app.callback()
def _top() -> None:
    """AI Perp DEX: agents trade perpetual futures with each other."""


def main() -> None:
    """Entry of the `perpdex` command. A setting that cannot be read is a sentence and exit code 2, as an option is."""
    try:
        app()
    except ValueError as error:
        text = wrong_setting(error)
        if text is None:
            raise
        print(text, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
