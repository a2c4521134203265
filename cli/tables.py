"""Tables for people: no figure or name is cut, and words are shown as they are, whoever wrote them."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH: Final = 400
"""A table takes what it needs of it: on a narrower screen its lines wrap, and no figure is cut."""


def print_table(heads: Iterable[object], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their heads. What a terminal would take for a command is shown as its escape, and markup as it was written."""
    table = Table()
    for head in heads:
        table.add_column(_cell(head))
    for row in rows:
        table.add_row(*map(_cell, row))
    Console(width=WIDTH).print(table)


def plain(words: str) -> str:
    """`words` without anything that moves a cursor, hides or turns around what stands beside it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)


def _cell(value: object) -> Text:
    return Text(plain(str(value)))
