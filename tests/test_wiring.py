"""What is built from settings."""

import pytest

from settings import Settings
from wiring import operators


def test_operators_have_the_names_of_their_files(tmp_path):
    settings = Settings(perpdex_data=tmp_path, operator_token="n" * 32)
    assert operators(settings) == {"operator": "n" * 32}
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    (people / "ada.token").write_text("a" * 32 + "\n")
    (people / "notes.txt").write_text("nobody's")
    assert operators(settings) == {"operator": "n" * 32, "ada": "a" * 32}


@pytest.mark.parametrize("name", ["operator", "exchange"])
def test_nobody_has_a_name_that_means_something_else(tmp_path, name):
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    (people / f"{name}.token").write_text("a" * 32)
    with pytest.raises(ValueError, match=f"nobody may be called {name}"):
        operators(Settings(perpdex_data=tmp_path, operator_token="n" * 32))
