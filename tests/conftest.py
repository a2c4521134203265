"""What tests share: one real PostgreSQL for the whole run with a fresh database for each test, and a search for a secret key.

A run is repeatable: Hypothesis derives its examples from the tests. `make examples` looks for new ones.
"""

import base64
import gc
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import base58
import psycopg
import pytest
from hypothesis import settings

from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade

pytest.register_assert_rewrite("crash_faults", "crash_scene")
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("new", print_blob=True)
settings.load_profile("repeatable")

_databases = count(1)
HERE = Path(__file__).parent
MEMORY, MEMORY_MIN = "/dev/shm", 4 << 30


def _place() -> str:
    """Where tests write. They wait for disks thousands of times and pull no plug: memory is as good, where there is enough of it. Not
    below the system's own temporary directory, which may be too long for a socket's address."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return "/tmp"
    roomy = found.f_bavail * found.f_frsize >= MEMORY_MIN
    return MEMORY if roomy and not found.f_flag & os.ST_NOEXEC else "/tmp"


tempfile.tempdir = os.environ["TMPDIR"] = _place()
# No test leaves this machine. A client that is told of no certificates is made in half a millisecond, with a system's own in forty.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(HERE / "edge")
NETWORKS = (HERE / "e2e", HERE / "workflows" / "real")
"""Folders whose tests wait for whole networks of processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-matrix",
        type=Path,
        help="write the table in this file anew: cells whose tests all passed, or with --collect-only all that have tests",
    )


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Networks first: with several workers their waiting is filled by what only computes, and none is left for the end."""
    items.sort(key=lambda item: not any(item.path.is_relative_to(folder) for folder in NETWORKS))


FAULTS = ("killed before", "killed after", "reply lost", "duplicate", "delayed", "chain pauses", "RPC lies")
TELLS, SENDS, READS, STARTS = "tells the engine", "sends a transaction", "reads the chain", "starts workflows"
TELLS_OF_CHAIN = "tells the engine what the chain says"
ORDERS = "sends an order to a venue"
STEPS = {
    "cut_batch": ("settlement", TELLS),
    "open_batch": ("settlement", SENDS),
    "settle_page": ("settlement", SENDS),
    "seal_batch": ("settlement", SENDS),
    "seal_batch: tell": ("settlement", TELLS_OF_CHAIN),
    "publish_status": ("settlement", TELLS_OF_CHAIN),
    "reconcile: hold": ("settlement, reconciliation", TELLS_OF_CHAIN),
    "reserve": ("withdrawal", TELLS),
    "pay": ("withdrawal", SENDS),
    "finish: look": ("withdrawal", READS),
    "finish: tell": ("withdrawal", TELLS),
    "take_up_withdrawals": ("deposits", STARTS),
    "watch_deposits: read": ("deposits", READS),
    "watch_deposits: credit": ("deposits", TELLS),
    "watch_deposits: claim": ("deposits", TELLS),
    "watch_deposits: stray": ("deposits", TELLS),
    "watch_exits: request": ("exits", TELLS_OF_CHAIN),
    "watch_exits: release": ("exits", TELLS_OF_CHAIN),
    "watch_exits: limit": ("exits", TELLS_OF_CHAIN),
    "watch_exits: delay": ("exits", TELLS_OF_CHAIN),
    "watch_unbound: open": ("deposits", SENDS),
    "watch_unbound: reuse": ("deposits", SENDS),
    "watch_unbound: add a page": ("deposits", SENDS),
    "watch_unbound: bind": ("deposits", TELLS_OF_CHAIN),
    "pay_hour": ("funding", TELLS),
    "review_accounts": ("liquidation sweep", TELLS),
    "sell_inventory": ("liquidation sweep", TELLS),
    "hold_for_rotation": ("rotation", TELLS),
    "execute_proposal": ("rotation", SENDS),
    "release_after_rotation": ("rotation", TELLS),
    "place_order": ("order", ORDERS),
    "all of a batch": ("settlement", "the whole network, with agents that trade"),
}
CANNOT = {TELLS: FAULTS[-2:], STARTS: FAULTS[-2:], ORDERS: FAULTS[-2:], READS: FAULTS[:-2]}
"""Faults that have no meaning for what a step does."""
RULES = "tests/matcher/"
"""Where tests drive rules and journal alone, with no worker and no chain."""
BEGIN, END = "<!-- cells -->\n", "<!-- end of cells -->"


class CrashMatrix:
    """Gathers `cell(step, fault)` marks: a cell is shown when every test that has its mark passed."""

    def __init__(self, file: Path, collect_only: bool) -> None:
        self._file, self._collect_only = file, collect_only
        self._tests: dict[tuple[str, str], set[str]] = {}
        self._passed: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        for mark in item.iter_markers("cell"):
            step, fault = mark.args
            if step not in STEPS or fault not in FAULTS:
                raise pytest.UsageError(f"{item.nodeid}: the crash matrix has no cell {step} x {fault}")
            self._tests.setdefault((step, fault), set()).add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        rows = [
            "| step | workflow | what it does | " + " | ".join(FAULTS) + " |",
            "|---|---|---|" + "---|" * len(FAULTS),
            *(
                f"| `{step}` | {workflow} | {does} | "
                + " | ".join(self._cell(step, fault) for fault in FAULTS)
                + " |"
                for step, (workflow, does) in STEPS.items()
            ),
        ]
        before, _, rest = self._file.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        self._file.write_text(before + BEGIN + "\n".join(rows) + "\n" + END + after)

    def _cell(self, step: str, fault: str) -> str:
        tests = self._tests.get((step, fault), set())
        if tests and (self._collect_only or tests <= self._passed):
            by_rules = all(name.startswith(RULES) for name in tests)
            return f"{'rule' if by_rules else 'shown'} ({len(tests)})"
        return "—" if fault in CANNOT.get(STEPS[step][1], ()) else "**not shown**"


def pytest_configure(config: pytest.Config) -> None:
    # Thousands of tests are found, and stay: looking through them for garbage again and again finds none.
    gc.disable()
    file = config.getoption("--crash-matrix")
    if file is not None:
        config.pluginmanager.register(CrashMatrix(file, config.option.collectonly), "crash-matrix")


RECORDINGS = Path(__file__).parents[2] / "shared" / "data"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Proofs on real data that were left out must not look like proofs that held."""
    skipped = sum(
        "recording missing:" in str(report.longrepr) for report in terminalreporter.getreports("skipped")
    )
    if skipped:
        terminalreporter.write_line(
            f"NOT TESTED ON REAL DATA: {skipped} tests were skipped, because their recordings are not in {RECORDINGS}. "
            "That folder is handed on beside the repository, not in it: copy it there from another checkout; "
            "its SOURCES.md names the public source of each file.",
            red=True,
            bold=True,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """PostgreSQL from the wheel, with a migrated database `template` to copy."""
    # On the disk: a copy of the schema for each test is too much memory, and nobody waits for these writes.
    directory = Path(tempfile.mkdtemp(prefix="perpdex-test-", dir="/tmp"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "pg")
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        # Nothing here outlives the run, so nobody waits for the disk.
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
        connection.execute("create database migrated")
    upgrade(server.url.replace("/postgres?", "/migrated?"))
    yield server
    os.kill(
        server.pid, signal.SIGQUIT
    )  # without the checkpoint of a farewell: every test left a database behind
    server.stop()
    shutil.rmtree(server.home, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Makes a database at the current schema; returns its URL."""

    def make() -> str:
        name = f"test{next(_databases)}"
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"create database {name} template migrated")
        return postgres.url.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """URL of a database of this test's own, at the current schema."""
    return new_database()


WINDOW = 12
"""So many bytes of a key in a row, anywhere in it, are enough to be found."""
_NOISE = re.compile(rb"\x1b\[[0-9;]*m|\s|\xe2\x94\x82")
"""Colours, space and the frames that rich draws: they break what is longer than a line."""


def _forms(seed: bytes, keypair: bytes) -> Iterator[tuple[str, bytes]]:
    """What a private key (32 bytes) looks like to a reader; `keypair` is it with the public key behind it (64 bytes)."""
    yield "base58 of 64 bytes", base58.b58encode(keypair)[:40]
    yield "base58 of 32 bytes", base58.b58encode(seed)[:30]
    for at in range(len(seed) - WINDOW + 1):
        part = seed[at : at + WINDOW]
        yield "raw", part
        yield "hex", part.hex().encode()
        yield "HEX", part.hex().upper().encode()
        yield "base64", base64.b64encode(part)
        yield "urlsafe base64", base64.urlsafe_b64encode(part)
        yield "repr of bytes", repr(part)[2:-1].replace(" ", "").encode()
        yield "list of numbers", ",".join(str(one) for one in part[:8]).encode()


@pytest.fixture(scope="session")
def shown() -> Callable[[bytes, bytes], set[str]]:
    """In which forms a keypair (64 bytes: private, public) or a piece of its private half can be read in some bytes."""

    def find(keypair: bytes, data: bytes) -> set[str]:
        dense = _NOISE.sub(b"", data).replace(b"\\\\", b"\\")
        return {name for name, form in _forms(keypair[:32], keypair) if form in data or form in dense}

    return find
