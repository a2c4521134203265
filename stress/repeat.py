"""Runs of one scenario in processes of their own, at the same time as the first: nothing that one remembers can make them equal."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from msgspec.structs import replace

from stress.report import Check, Report, Sample, Scenario
from stress.run import play, tape_of
from stress.tape import Tape


def repeated(
    scenario: Scenario, tape: Tape, runs: int, directory: Path, on_sample: Callable[[Sample], None]
) -> Report:
    """The report of the first of so many runs, its journal in `directory`, with a check that all of them ended in the same state."""
    if runs < 2:
        return play(scenario, tape, directory, on_sample)
    with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
        others = [elsewhere.submit(_hash, scenario) for _ in range(runs - 1)]
        report = play(scenario, tape, directory, on_sample)
        hashes = [other.result() for other in others]
    differing = sum(found != report.state_hash for found in hashes)
    check = Check(
        "every run ends in the same state", not differing, f"{differing} of {len(hashes)} other runs differ"
    )
    return replace(report, checks=(*report.checks, check))


def _hash(scenario: Scenario) -> str:
    with tempfile.TemporaryDirectory(prefix="perpdex-stress-") as directory:
        return play(scenario, tape_of(scenario), Path(directory)).state_hash
