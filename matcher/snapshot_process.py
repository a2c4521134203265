"""Snapshots while the exchange runs, made behind the engine by a process of its own: `python -m matcher.snapshot_process DIRECTORY`.

To dump the engine's own state would hold up its loop for as long as that takes, more than a second with 100,000 accounts. The process
starts at the newest snapshot instead and follows the journal as any reader does, so it costs the engine nothing but the start of
it, and what it writes is what a restart would have come to. It knows only what the journal has synced: memory may run ahead of
that, and a snapshot of records that a crash then takes back would stop the next start.
"""

import gc
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from core.child_environment import passed_on
from matcher.apply import apply
from matcher.segments import JournalInUse, lock
from matcher.snapshot import SUFFIX, UNFINISHED, load_newest, save
from matcher.tail import Tail

LOCK: Final = "snapshot.lock"
NICE: Final = 10
"""What is late here makes a later start a little longer; what is late in the engine, every agent waits for."""
_ROOT: Final = Path(__file__).resolve().parents[1]
_log = structlog.get_logger("snapshot")


class Snapshots:
    """Starts the process once in `every` records. One that a killed engine left behind ends by itself, and keeps nobody out."""

    def __init__(self, directory: Path, taken: int, every: int) -> None:
        """`taken` is the sequence of the newest snapshot there is."""
        self._directory = directory.resolve()
        self._taken = taken
        self._every = every
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def synced(self, sequence: int) -> None:
        """Have a snapshot made when it is time, now that the journal is safe up to `sequence`."""
        if sequence - self._taken < self._every or (self._thread is not None and self._thread.is_alive()):
            return
        self._taken = sequence
        self._thread = threading.Thread(target=self._make, name="snapshot", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the snapshot being made is there."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Give up the snapshot being made."""
        self._closed = True
        process = self._process
        if process is not None:
            process.terminate()
        self.wait()

    def _make(self) -> None:
        command = [sys.executable, "-m", "matcher.snapshot_process", str(self._directory)]
        try:
            with subprocess.Popen(
                command,
                cwd=_ROOT,
                env=passed_on(os.environ),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as self._process:
                if self._closed:
                    self._process.terminate()
                _, said = self._process.communicate()
        except OSError as error:
            self._failed(str(error))
            return
        if self._process.returncode and not self._closed:
            self._failed(said.decode(errors="replace").strip()[-300:])

    def _failed(self, why: str) -> None:
        # Nothing is lost without it but time at the next start; the next one is due after as many records again.
        _log.warning("snapshot not written", sequence=self._taken, error=why)


def follow(directory: Path) -> int:
    """Write a snapshot of all that is synced; the sequence it is of.

    Raises `JournalInUse` while another process makes one, `JournalCorrupt`, `OSError`.
    """
    held = lock(directory, LOCK)
    try:
        for unfinished in directory.glob("*" + SUFFIX + UNFINISHED):
            unfinished.unlink()
        state = load_newest(directory)
        with closing(Tail(directory, state.seq)) as tail:
            until = tail.synced
            while tail.sequence < until:
                for _, event in tail.read(min(10_000, until - tail.sequence)):
                    apply(state, event)
        save(directory, state)
        return state.seq
    finally:
        os.close(held)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.nice(NICE)
    # It lives too briefly for garbage: looking for it among a hundred thousand accounts would take most of the time.
    gc.disable()
    try:
        follow(Path(sys.argv[1]))
    except JournalInUse:
        return


if __name__ == "__main__":
    main()
