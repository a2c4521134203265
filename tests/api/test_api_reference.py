"""The reference pages say what the code does, and every error has its entry."""

from pathlib import Path
from typing import get_args

import pytest

from api.closing import WHY, CloseCode
from api.collaborators import WithdrawalStatus
from api.errors import CATALOGUE, EDGE, RULES
from api.reference import FOLDER, pages
from api.schemas import WithdrawalAnswer
from matcher.rejections import RETRYABLE, Code
from workflows import withdrawal_state as process


@pytest.mark.parametrize("name", ["errors.md", "websocket.md"])
def test_pages_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == pages()[name], "run python -m api.reference"


def test_every_code_of_the_rules_has_an_entry() -> None:
    assert set(RULES) == set(Code)
    assert not {code.value for code in RULES} & set(EDGE)
    assert all(CATALOGUE[code.value].retryable == (code in RETRYABLE) for code in Code)


def test_every_code_is_given_somewhere() -> None:
    """One that nothing returns would have agents handle what never comes."""
    root = Path(__file__).parents[2]
    rules = "".join(path.read_text() for path in root.glob("matcher/*.py") if path.name != "rejections.py")
    assert [code for code in Code if code.name not in rules] == []
    edge = "".join(path.read_text() for path in root.glob("api/**/*.py") if path.name != "errors.py")
    assert [code for code in EDGE if f'"{code}"' not in edge] == []


def test_withdrawals_have_the_statuses_of_their_process() -> None:
    told = set(get_args(WithdrawalAnswer.model_fields["status"].annotation))
    assert told == set(get_args(WithdrawalStatus)) == {status.value for status in process.WithdrawalStatus}


def test_entries_are_sentences_with_error_statuses() -> None:
    for code, entry in CATALOGUE.items():
        assert 400 <= entry.status < 600, code
        assert entry.sentence.endswith("."), code


def test_every_close_code_is_explained() -> None:
    assert set(WHY) == set(CloseCode)
