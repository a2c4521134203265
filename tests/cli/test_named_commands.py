"""Whatever document or message names a command of ours names one that is there, with options that it takes."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = typer.main.get_command(app)
NAMED = re.compile(r"(?:`|^ {4}|bin/)perpdex ([a-z][^`\n|\"]*)", re.M)
MODULE = re.compile(r"python -m ((?:api|bench|perpdex_sdk)(?:\.\w+)*)")
TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "sdk/**/*.md", "*.py", "*/*.py", "sdk/perpdex_sdk/*.py")
    for path in ROOT.glob(pattern)
    if path.parts[len(ROOT.parts)] not in ("tests", ".venv")
    and (NAMED.search(text := path.read_text()) or MODULE.search(text))
)


def wrong(words: list[str]) -> str | None:
    """What a command line names that there is not."""
    found: Any = COMMANDS
    while hasattr(found, "list_commands") and words and re.fullmatch(r"[a-z-]+", words[0]):
        inner = found.get_command(None, words.pop(0))
        if inner is None:
            return f"no such command under {found.name}"
        found = inner
    options = {name for one in found.params for name in (*one.opts, *one.secondary_opts)}
    asked = [re.split(r"[=,;.]", word)[0] for word in words if word.startswith("--")]
    return next((f"{found.name} takes no {option}" for option in asked if option not in options), None)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_named_are_there(text: Path) -> None:
    content = text.read_text()
    lines = NAMED.findall(content)
    assert {line: said for line in lines if (said := wrong(line.split())) is not None} == {}
    assert [name for name in MODULE.findall(content) if importlib.util.find_spec(name) is None] == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert wrong(["settlement", "hold", "--why", "x"]) is None
    assert wrong(["settlement", "stop"]) == "no such command under settlement"
    assert wrong(["settlement", "hold", "--reason", "x"]) == "hold takes no --reason"
