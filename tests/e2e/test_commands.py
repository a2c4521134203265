"""`perpdex up` and `perpdex demo` as a person meets them: processes, sentences, exit codes."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.leftovers import started_at
from settings import Settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
RECORDED = 61_234


class Perpdex:
    """A running `perpdex` whose lines can be waited for."""

    def __init__(self, settings: Settings, *arguments: str, **changes: object) -> None:
        given = settings.model_copy(update=changes).model_dump(mode="json", exclude_none=True)
        environment = {name.upper(): str(value) for name, value in given.items() if name != "api_url"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)

    def until(self, text: str, seconds: float = 90) -> str:
        """The first line with `text`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.lines.append(self._queue.get(timeout=max(0.01, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"never said {text!r}: {''.join(self.lines)}") from None
            if text in self.lines[-1]:
                return self.lines[-1]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def result(self) -> tuple[int, str]:
        """Exit code and everything that it said."""
        code = self.process.wait(150)
        time.sleep(0.2)
        while not self._queue.empty():
            self.lines.append(self._queue.get())
        return code, "".join(self.lines)


@pytest.fixture
def started() -> Iterator[list[Perpdex]]:
    running: list[Perpdex] = []
    yield running
    for one in running:
        if one.process.poll() is None:
            one.end()


def parts(settings: Settings) -> dict[str, int]:
    """Pids of the parts that are written down, by name."""
    return {
        row["name"]: row["pid"] for row in json.loads((settings.perpdex_data / "processes.json").read_text())
    }


def alive(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if started_at(pid)]


def test_a_run_says_where_it_is_and_stops_what_it_started(settings: Settings, started: list[Perpdex]) -> None:
    run = Perpdex(settings, "up", "--makers", "2", "--traders", "1")
    started.append(run)
    assert run.until("Temporal UI").split()[-1] == f"http://127.0.0.1:{settings.temporal_ui_port}"
    run.until("money conserved | prices: generated")
    run.until("batch 1")
    run.until("vault demo: NAV 50000.000000 USDC as of")
    running = parts(settings)
    agents = ["makers", "traders", "strategy"]
    assert alive(running) == ["temporal", "localnet", "api", "projector", "worker", *agents]

    code, said = Perpdex(settings, "up").result()
    assert (code, said.count("\n")) == (1, 1)
    assert f"Another run (process {run.process.pid}) uses {settings.perpdex_data}" in said

    code, said = Perpdex(settings, "up", perpdex_data=settings.perpdex_data.parent / "other").result()
    assert (code, said.count("\n")) == (1, 1)
    assert f"Port {settings.api_port} for the API cannot be used" in said
    assert "API_PORT" in said

    assert run.end(signal.SIGINT) == 0
    assert alive(running) == []


def test_a_killed_run_is_cleared_up_and_carried_on(
    settings: Settings, started: list[Perpdex], tmp_path: Path
) -> None:
    run = Perpdex(settings, "up", "--makers", "2", "--traders", "1")
    started.append(run)
    run.until("money conserved")
    left = parts(settings)
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    assert "api" in alive(left)

    recording = tmp_path / "BTC-PERP.csv"
    recording.write_text("time,price\n" + "".join(f"{1_700_000_000 + n},{RECORDED}\n" for n in range(60)))
    report = tmp_path / "report.json"
    arguments = ["demo", "--seconds", "5", "--makers", "2", "--traders", "3", "--report", str(report)]
    code, said = Perpdex(settings, *arguments, "--prices", str(recording)).result()
    assert code == 0, said
    assert "stopping api, left over from a run that was killed" in said
    assert "every invariant held" in said
    check(json.loads(report.read_text()))


def check(report: dict) -> None:
    assert report["fills"] == report["final_fills"] > 0
    assert report["requests"] > 0
    assert report["answers"]["filled"] > 0
    assert 0 < report["ack_ms"]["p50"] <= report["ack_ms"]["p99"] <= report["ack_ms"]["max"]
    assert report["fills_per_second"] > 0
    assert report["batches"]
    assert all(one["status"] == "final" and len(one["signatures"]) >= 3 for one in report["batches"])
    assert sum(one["fills"] for one in report["batches"]) >= report["fills"]
    assert report["chain"]["vault"] == report["chain"]["pages_total"] == report["ledger"]["total"] > 0
    assert (report["ledger"]["imbalance"], report["book_mismatches"]) == (0, 0)
    assert report["books_not_compared"] == []
    assert report["conserved"]
    assert report["positions_zero_sum"]
    assert len(report["state_hash"]) == 64
    assert report["prices"] == "recording BTC-PERP.csv, generated"
    assert isinstance(report["rejected"], dict)
    vault = report["vault"]
    assert (vault["vault"], vault["undecided"], vault["positions_agree"]) == ("demo", 0, True)
    assert (vault["nav"], vault["cash"]) == (vault["nav_recomputed"], vault["cash_recomputed"])
    # What 50,000 USDC came to in some seconds of small tickets.
    assert 49_000_000_000 < vault["nav"] < 51_000_000_000
    assert set(vault["tickets"]) == {"agents", "mock_gold"}
    assert vault["tickets"]["mock_gold"]["filled"] > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prices", "/nowhere/at/all.csv"], "There is no file or directory /nowhere/at/all.csv."),
        (["--seconds", "0"], "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    settings: Settings, arguments: list[str], sentence: str
) -> None:
    code, said = Perpdex(settings, "demo", *arguments).result()
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said
    assert "starting" not in said


def test_a_directory_that_cannot_be_used_is_one_sentence(settings: Settings) -> None:
    code, said = Perpdex(settings, "up", perpdex_data=Path("/proc/perpdex")).result()
    assert (code, said.count("\n")) == (1, 1)
    assert "/proc/perpdex cannot be used" in said
