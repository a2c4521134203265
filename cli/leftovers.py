"""Processes that outlived a supervisor which was killed: written down when started, ended by the next run on the same directory."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

PATIENCE_S: Final = 15.0


class Written(msgspec.Struct, frozen=True):
    """A process of this run; `started` as `started_at` has it."""

    name: str
    pid: int
    started: str


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
    """Keep (name, pid) of what runs; replaces the file at once, so that it is never half there. Raises `OSError`."""
    rows = [Written(name, pid, started_at(pid)) for name, pid in processes]
    half = file.with_suffix(".half")
    with half.open("wb") as out:
        out.write(msgspec.json.encode(rows))
        out.flush()
        # A rename may reach the disk before what the file holds.
        os.fsync(out.fileno())
    half.rename(file)


def end_leftovers(file: Path, say: Callable[[str], None]) -> None:
    """End what is written down and still the same process. The caller holds the directory: no other run owns them."""
    if not file.exists():
        return
    left = [row for row in _read(file, say) if row.started == started_at(row.pid) != ""]
    for row in left:
        say(f"stopping {row.name}, left over from a run that was killed")
        _signal(row.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    for row in left:
        while started_at(row.pid) == row.started:
            if time.monotonic() > deadline:
                _signal(row.pid, signal.SIGKILL)
            time.sleep(0.05)
    file.unlink()


def _read(file: Path, say: Callable[[str], None]) -> list[Written]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Written])
    except msgspec.DecodeError:
        say(
            f"{file} cannot be read: what an earlier run may have left running is not known, and is not ended"
        )
        return []


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
