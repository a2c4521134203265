"""The table of validities and actions: whole, monotone, and as the documents state it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.validity import ALLOWED, Action, Validity, allowed, worse

VALIDITIES = st.sampled_from(Validity)


def test_the_table_as_it_is_published():
    columns = (Action.FILL, Action.MARGIN, Action.LIQUIDATE, Action.FUND, Action.SETTLE)
    rows = {one.code: "".join("x" if allowed(one, action) else "." for action in columns) for one in Validity}
    assert rows == {
        "unavailable": ".....",
        "disputed": ".....",
        "volatile": ".....",
        "lone": ".....",
        "uncertain": "..x..",
        "stale": "..xx.",
        "aged": ".xxxx",
        "valid": "xxxxx",
    }


def test_the_numbers_are_stable():
    numbers = {one.code: one.value for one in Validity}
    assert numbers == {
        "unavailable": 0,
        "disputed": 1,
        "volatile": 2,
        "uncertain": 3,
        "stale": 4,
        "lone": 5,
        "aged": 6,
        "valid": 7,
    }
    assert set(ALLOWED) == set(Validity)


@given(VALIDITIES, VALIDITIES, st.sampled_from(Action))
def test_a_worse_validity_never_allows_more(one, other, action):
    lower, better = sorted((one, other), key=lambda validity: validity.rank)
    assert worse(one, other) is lower
    assert ALLOWED[lower] <= ALLOWED[better]
    if allowed(lower, action):
        assert allowed(better, action)


@pytest.mark.parametrize("action", Action)
def test_every_action_is_possible_and_none_is_always(action):
    assert allowed(Validity.VALID, action)
    assert not allowed(Validity.UNAVAILABLE, action)
