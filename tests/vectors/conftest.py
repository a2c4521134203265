"""Known answers of other venues: each module runs one file of vectors, or lists why a vector is not this project's rule.

A module declares `FILE`, `RUNS` (what runs a vector, by its category) and `EXCEPTIONS` (reasons by category or id).
"""

import json
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = Path(__file__).parents[3] / "shared" / "data" / "vectors"
MISSING = f"recording missing: {DIRECTORY}"


def _vectors(name: str) -> list[dict[str, Any]]:
    path = DIRECTORY / name
    return json.loads(path.read_text())["vectors"] if path.exists() else []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" not in metafunc.fixturenames:
        return
    module = metafunc.module
    vectors = [
        vector
        for vector in _vectors(module.FILE)
        if vector["id"] not in module.EXCEPTIONS and vector.get("category") not in module.EXCEPTIONS
    ]
    if vectors:
        metafunc.parametrize("vector", vectors, ids=[vector["id"][:90] for vector in vectors])
    else:
        metafunc.parametrize("vector", [pytest.param(None, marks=pytest.mark.skip(reason=MISSING))])


@pytest.fixture
def vectors(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """All vectors of the module's file."""
    if not DIRECTORY.exists():
        pytest.skip(MISSING)
    return _vectors(request.module.FILE)


@pytest.fixture
def vector_files() -> set[str]:
    """Names of all recorded files of vectors."""
    if not DIRECTORY.exists():
        pytest.skip(MISSING)
    return {path.name for path in DIRECTORY.glob("*.json")}
