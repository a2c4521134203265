"""Run benchmarks and write `docs/benchmarks.md`: `make bench` for all, `python -m bench NAME ...` for some, others' sections stay.

Each prints one section on its standard output, and what it is doing on the other. One that fails leaves its last words in the
section's place, and the exit code is 1.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
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
    "deleveraging",
    "sweep",
    "cut",
    "replay",
    "snapshots",
    "journal",
    "gateway",
    "settlement",
    "exits",
    "settlement_costs",
    "settlement_history",
    "venues",
    "nav",
    "routing",
)
PACKAGES: Final = ("uvloop", "picows", "msgspec", "fastapi", "uvicorn", "solders", "temporalio")

ABOUT: Final = """\
`make bench` writes this page. Each section says when it was measured and at which commit, on the machine named below, which was shared
with other work and is noisy. Two runs differ by tens of percent, so compare figures of one section with each other, and ratios rather
than absolute values. Targets are what this project set itself before it was built; what is missed says so."""
MARK: Final = "<!-- bench.{} -->\n"
"""Before the section of each benchmark."""


def machine() -> Iterator[str]:
    """What it ran on, one fact a line."""
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
    took = f"{time.monotonic() - started:.0f} s"
    print(f"bench.{name}: {took}", file=sys.stderr, flush=True)
    if run.returncode == 0:
        commit = _said("git", "rev-parse", "--short", "HEAD")
        # Of the last minute: what else the machine did then.
        load = f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors"
        return f"{section}\n\n*{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}, {took}, {load}*", True
    return f"## {name}\n\nThis benchmark failed: {words}", False


def kept(page: str) -> dict[str, str]:
    """The sections of a page by the names of their benchmarks."""
    opened, closed = MARK.split("{}")
    return {
        name: text.strip()
        for name, _, text in (part.partition(closed) for part in page.split(opened)[1:])
        if name in BENCHMARKS
    }


def page(sections: dict[str, str]) -> str:
    """The whole page, its sections in the order of `BENCHMARKS`."""
    texts = [MARK.format(name) + sections[name] for name in BENCHMARKS if name in sections]
    return "\n\n".join(["# Benchmarks", ABOUT, "\n".join(machine()), *texts]) + "\n"


def main(wanted: Sequence[str]) -> int:
    unknown = sorted(set(wanted) - set(BENCHMARKS))
    if unknown:
        print(f"No benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    sections, failed = kept(PAGE.read_text()), []
    for name in wanted or BENCHMARKS:
        sections[name], succeeded = measured(name)
        # Written as it goes: who stops it keeps what was measured.
        PAGE.write_text(page(sections))
        if not succeeded:
            failed.append(name)
    print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
