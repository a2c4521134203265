"""A run without the recorded data says so, loudly: here, of a copy of the vectors' tests with nothing beside it."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_tests_that_were_skipped_for_missing_recordings_are_counted_at_the_end(tmp_path):
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "tests" / "vectors", copy / "tests" / "vectors")
    shutil.copy(ROOT / "tests" / "conftest.py", copy / "tests")
    shutil.copy(ROOT / "pyproject.toml", copy)
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-o",
            f"pythonpath={ROOT} {ROOT}/sdk",
            "tests/vectors/test_files.py",
        ],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (said,) = [line for line in run.stdout.splitlines() if "NOT TESTED ON REAL DATA" in line]
    assert f"not in {tmp_path / 'shared' / 'data'}" in said
    assert int(said.split(": ")[1].split()[0]) > 0
