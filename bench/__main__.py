"""Run every benchmark and write `docs/benchmarks.md`: `make bench`, or `python -m bench`.

Each prints one section on its standard output, and what it is doing on the other. One that fails leaves its last words in the
section's place, and the exit code is 1.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
BENCHMARKS: Final = (
    "engine",
    "funding",
    "order_books",
    "risk",
    "replay",
    "snapshots",
    "journal",
    "gateway",
    "settlement",
    "exits",
    "settlement_costs",
    "settlement_history",
)
PACKAGES: Final = ("uvloop", "picows", "msgspec", "fastapi", "uvicorn", "solders", "temporalio")

ABOUT: Final = """\
`make bench` writes this page: everything here was measured in one run on the machine named below, which was shared with other work and
is noisy. Two runs differ by tens of percent, so compare figures of one run with each other, and ratios rather than absolute values.
Targets are what this project set itself before it was built; what is missed says so."""


def machine() -> Iterator[str]:
    """What it ran on, one fact a line."""
    commit = _said("git", "rev-parse", "--short", "HEAD")
    yield f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}, `make bench`"
    yield f"- {_processor()}, {os.cpu_count()} logical processors, {platform.system()} {platform.release()}"
    yield f"- Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in PACKAGES
    )


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    return next(line.partition(": ")[2] for line in facts.splitlines() if line.startswith("model name"))


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def measured(name: str) -> tuple[str, bool]:
    """Section of one benchmark, and whether it succeeded. What it says meanwhile is passed on."""
    print(f"bench.{name} ...", file=sys.stderr, flush=True)
    started, words = time.monotonic(), "no reason given"
    with TemporaryFile("w+") as said:
        with subprocess.Popen(
            [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, stdout=said, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stderr is not None
            for line in run.stderr:
                print(line, end="", file=sys.stderr, flush=True)
                words = line.strip() or words
        said.seek(0)
        # Servers that a benchmark starts may say something on their own first.
        section = "## " + said.read().partition("## ")[2].strip()
    print(f"bench.{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if run.returncode == 0:
        return section, True
    return f"## {name}\n\nThis benchmark failed: {words}", False


def main() -> int:
    sections = [measured(name) for name in BENCHMARKS if find_spec(f"bench.{name}")]
    texts = [text for text, _ in sections]
    PAGE.write_text("\n\n".join(["# Benchmarks", ABOUT, "\n".join(machine()), *texts]) + "\n")
    print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 0 if all(succeeded for _, succeeded in sections) else 1


if __name__ == "__main__":
    sys.exit(main())
