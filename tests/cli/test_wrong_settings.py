"""A setting that cannot be read is one sentence, whichever command reads it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from solders.pubkey import Pubkey

from cli import main as perpdex

WITHOUT_SETTINGS = frozenset(
    {
        "stress",
        "verify",
        "escrow budget",
        "venues simulate hyperliquid",
        "venues simulate polymarket",
        "venues simulate synthetix",
    }
)
"""They look at nothing of the network's."""
KEYS = [str(Pubkey(bytes([number] * 32))) for number in range(4)]
MORE = {
    "journal prune": ["--delete"],
    "escrow initialize": [
        word
        for name, key in zip(("operator", "guardian", "treasury", "insurance"), KEYS, strict=True)
        for word in (f"--{name}", key)
    ],
    **{f"escrow own {what}": ["--slot", "treasury"] for what in ("deposit", "ask", "cancel", "claim")},
}
"""What else they want before they look at settings."""


def commands(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(found, "list_commands"):
        yield path, found
        return
    for name in found.list_commands(None):
        yield from commands(found.get_command(None, name), (*path, name))


ALL = {" ".join(path): found for path, found in commands(typer.main.get_command(perpdex.app))}


def given(command: Any, directory: Path) -> list[str]:
    """What a command must be given, made up."""
    words: list[str] = []
    for one in (one for one in command.params if one.required):
        value = str(directory) if one.type_descriptor.annotation is Path else "1"
        words += [one.opts[0], value] if one.param_type_name == "option" else [value]
    return words


@pytest.mark.parametrize("name", sorted(ALL.keys() - WITHOUT_SETTINGS))
def test_a_wrong_setting_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_PORT", "abc")
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path))
    monkeypatch.setattr(
        "sys.argv", ["perpdex", *name.split(), *given(ALL[name], tmp_path), *MORE.get(name, ())]
    )
    with pytest.raises(SystemExit) as ended:
        perpdex.main()
    said = capfd.readouterr().err.strip()
    assert ended.value.code in (1, 2)
    assert said.startswith("API_PORT: "), said
    assert "\n" not in said


def test_those_left_out_are_there_and_what_operators_use_is_not_left_out() -> None:
    assert ALL.keys() >= {"audit", "journal status", "explain liquidation", "reconcile", *WITHOUT_SETTINGS}
