"""What is built from settings."""

import pytest

from chain.keys import KeyFileRefused
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


@pytest.mark.parametrize(
    ("name", "token"), [("operator", "a" * 32), ("exchange", "a" * 32), ("ada", "a" * 31), ("ada", "n" * 32)]
)
def test_a_credential_that_leaves_open_who_it_was_is_refused(tmp_path, name, token):
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    (people / f"{name}.token").write_text(token)
    with pytest.raises(KeyFileRefused, match=f"{name}.token"):
        operators(Settings(perpdex_data=tmp_path, operator_token="n" * 32))
