"""The reference pages say what the code does, and every error has its entry."""

import pytest

from api.closing import WHY, CloseCode
from api.errors import CATALOGUE, EDGE, RULES
from api.reference import FOLDER, pages
from matcher.rejections import RETRYABLE, Code


@pytest.mark.parametrize("name", ["errors.md", "websocket.md"])
def test_pages_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == pages()[name], "run python -m api.reference"


def test_every_code_of_the_rules_has_an_entry() -> None:
    assert set(RULES) == set(Code)
    assert not {code.value for code in RULES} & set(EDGE)
    assert all(CATALOGUE[code.value].retryable == (code in RETRYABLE) for code in Code)


def test_entries_are_sentences_with_error_statuses() -> None:
    for code, entry in CATALOGUE.items():
        assert 400 <= entry.status < 600, code
        assert entry.sentence.endswith("."), code


def test_every_close_code_is_explained() -> None:
    assert set(WHY) == set(CloseCode)
