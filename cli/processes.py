"""The processes that the supervisor starts, each in a group of its own, each with a log of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

STOP_S = 15.0


class StackFailed(Exception):
    """A part could not start or stopped by itself; the sentence says which, why, and where to look."""


class Child:
    """One started process."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self.process.poll() is None

    def must_live(self) -> None:
        """Raises `StackFailed` with the end of the log when the process is gone."""
        if self.alive():
            return
        lines = self.log.read_text(errors="replace").strip().splitlines()[-8:]
        raise StackFailed(
            f"{self.name} stopped with exit code {self.process.returncode}; the end of {self.log}:\n  "
            + "\n  ".join(lines)
        )

    def stop(self) -> None:
        """Ask the whole group to stop, then make it."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def must_be_free(port: int, what: str, setting: str) -> None:
    """Raises `StackFailed` when something listens on a port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StackFailed(
                f"Port {port} for {what} is taken: stop what uses it, or set {setting} to another."
            ) from None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], child: Child, seconds: float) -> None:
    """Poll until `ready()`; raises `StackFailed` when the child dies or the time is up."""
    deadline = time.monotonic() + seconds
    while not ready():
        child.must_live()
        if time.monotonic() > deadline:
            raise StackFailed(f"{child.name} is not ready after {seconds:.0f} s; see {child.log}")
        time.sleep(0.1)
