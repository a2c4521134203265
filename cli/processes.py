"""The processes that the supervisor starts: each in a group of its own, each with a log of its own."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

STOP_S: Final = 15.0
"""How long a part may take to stop in order before it is made to."""
LINES_TOLD: Final = 8


class StackFailed(Exception):
    """A part could not start or stopped by itself; the sentence says which, why, and where to look."""


class Child:
    """One started process, which has that `environment` and nothing of this one's.

    With `on_line`, what it prints goes there line by line, from a thread, and its errors to the log; otherwise both go to the log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start it. Raises `StackFailed` when that is impossible."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._log_start = errors.tell()
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=errors if on_line is None else subprocess.PIPE,
                    stderr=errors,
                    env=dict(environment),
                    # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops its parts in order.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackFailed(
                    f"{name} cannot be started ({command[0]}: {error.strerror}): run `make setup` again."
                ) from error
        self._reader: threading.Thread | None = None
        if on_line is not None and self.process.stdout is not None:
            self._reader = threading.Thread(target=_read, args=(self.process.stdout, on_line), daemon=True)
            self._reader.start()

    @property
    def pid(self) -> int:
        """Also the number of its group."""
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def must_live(self) -> None:
        """Raises `StackFailed` with the end of the log when the process is gone."""
        if not self.alive():
            code = self.process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"stopped with exit code {code}"
            raise StackFailed(f"{self.name} {how}; {self._said()}")

    def stop(self) -> int:
        """Ask the group to stop, then make it; the exit code, once what it printed has been read."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also what the process started and left behind in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        code = self.process.wait()
        if self._reader is not None:
            self._reader.join(STOP_S)
        return code

    def _said(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()[-LINES_TOLD:]
        if not lines:
            return f"it said nothing in {self.log}"
        return "\n  ".join([f"the end of {self.log}:", *lines])


def _read(stream: IO[bytes], on_line: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            on_line(line.decode(errors="replace"))
