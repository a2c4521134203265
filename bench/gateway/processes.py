"""Servers under measurement, each a process of its own on files of its own, stopped with its input."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

STOP_S: Final = 20


@contextmanager
def started(*arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Run `python -m ARGUMENTS` and yield the JSON line it prints when it is open. Raises `RuntimeError` when it ends first.

    `settings` are added to the environment.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | (settings or {}),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{arguments[0]} ended before it was open")
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait(STOP_S)
        process.stdout.close()
