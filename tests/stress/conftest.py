"""Small runs that live through a crash in seconds, and the recorded ones where they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.quantities import MILLION
from stress.report import Report, Scenario
from stress.run import play, tape_of

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def recording() -> Callable[[str], str]:
    """The path of a recorded file of `shared/data`; skips where there is none."""

    def path(name: str) -> str:
        found = DATA / name
        if not found.exists():
            pytest.skip(f"recording missing: {found}")
        return str(found)

    return path


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    """A scenario of a few hundred accounts; what a test does not say is a made-up hour."""

    def made(**differs: object) -> Scenario:
        fields = {
            "prices": (),
            "hours": 1,
            "fall": 250_000,
            "accounts": 300,
            "seed": 7,
            "insurance": 50_000 * MILLION,
            "floor": 0,
        }
        return Scenario(**(fields | differs))  # type: ignore[arg-type]

    return made


@pytest.fixture
def lived(tmp_path: Path) -> Callable[[Scenario], Report]:
    """Plays a scenario; every call has a directory of its own."""
    runs = iter(range(1_000))

    def run(scenario: Scenario) -> Report:
        return play(scenario, tape_of(scenario), tmp_path / f"journal-{next(runs)}")

    return run
