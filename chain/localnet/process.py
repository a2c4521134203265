"""The local chain as a child process, for whoever needs one: the supervisor, benchmarks, tests."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


class LocalnetFailed(Exception):
    """The child ended instead of starting; the message is what it said."""


class LocalnetProcess:
    """One chain on one directory. After `stop` or `kill`, `start` carries on from the same state, on the same port."""

    def __init__(
        self, data: Path, *, port: int = 0, slot_ms: int = 400, finality: int = 32, log: Path | None = None
    ) -> None:
        self.data = data
        self.url = ""
        self._port = port
        self._options = ["--slot-ms", str(slot_ms), "--finality-slots", str(finality)]
        self._log = log or data / "localnet.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> str:
        """Start and wait until it takes calls; its URL."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "chain.localnet",
            "--port",
            str(self._port),
            "--data",
            str(self.data),
        ]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*command, *self._options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._child.stdout is not None
        line = self._child.stdout.readline().decode().strip()
        if not line:
            code = self._child.wait()
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise LocalnetFailed(said[-1] if said else f"the local chain ended with code {code}")
        self.url = line
        self._port = int(line.rsplit(":", 1)[1])
        return line

    def stop(self) -> int:
        """End it in order; its exit code."""
        return self._end("terminate")

    def kill(self) -> int:
        """End it at once, as a crash would."""
        return self._end("kill")

    def _end(self, how: str) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        getattr(child, how)()
        code = child.wait(timeout=15)
        if child.stdout is not None:
            child.stdout.close()
        return code

    def __enter__(self) -> "LocalnetProcess":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
