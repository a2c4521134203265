"""Processes that outlived a supervisor which was killed: written down when started, ended by the next run on the same directory."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 15.0


def started_at(pid: int) -> str:
    """When a process began, as its system writes it; empty when there is none. With the number it names one process for good."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] == "Z" else fields[19]
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def write_down(file: Path, processes: Iterable[tuple[str, int]]) -> None:
    """Keep (name, pid) of what runs; replaces the file at once, so that it is never half there."""
    rows = [{"name": name, "pid": pid, "started": started_at(pid)} for name, pid in processes]
    half = file.with_suffix(".half")
    half.write_text(json.dumps(rows))
    half.rename(file)


def end_leftovers(file: Path, say: Callable[[str], None]) -> None:
    """End what is written down and still the same process. The caller holds the directory: no other run owns them."""
    if not file.exists():
        return
    left = [row for row in json.loads(file.read_text()) if row["started"] == started_at(row["pid"]) != ""]
    for row in left:
        say(f"stopping {row['name']}, left over from a run that was killed")
        _signal(row["pid"], signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    for row in left:
        while started_at(row["pid"]) == row["started"]:
            if time.monotonic() > deadline:
                _signal(row["pid"], signal.SIGKILL)
            time.sleep(0.05)
    file.unlink()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
