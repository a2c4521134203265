"""The page of the crash matrix names exactly the cells that tests have."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "crash-matrix.md"


def test_the_table_is_what_the_tests_show(tmp_path):
    marked = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.cell(" in path.read_text()]
    written = tmp_path / PAGE.name
    written.write_text(PAGE.read_text())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-m",
            "cell",
            "--crash-matrix",
            str(written),
            *marked,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    assert written.read_text() == PAGE.read_text()
