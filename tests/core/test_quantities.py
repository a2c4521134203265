"""Units: exact in, exact out; every division rounds the way its name says."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market import market
from core.quantities import (
    NotAQuantity,
    decimal_from_units,
    divide_up,
    share_down,
    share_up,
    units_from_decimal,
)

UNIT = Decimal("0.0001")


@given(st.integers(-(10**20), 10**20))
def test_decimals_come_back_exactly(units):
    assert units_from_decimal(decimal_from_units(units, UNIT), UNIT) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "1e31",
        "0.00001",
        "1" * 41,
        "１",
        "1,5",
        "0x1",
        "sNaN",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(NotAQuantity):
        units_from_decimal(text, UNIT)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1.00000000000000000000000000000000001", "0.1"),
        ("0.1234560000000000000000000000000000001", "0.000001"),
        ("123456789012345678901234.5000001", "0.000001"),
        ("1", "0.3"),
    ],
)
def test_nothing_is_rounded_away_however_long_it_is(text, unit):
    with pytest.raises(NotAQuantity, match="not a multiple"):
        units_from_decimal(text, Decimal(unit))


@given(st.integers(0, 10**18), st.integers(0, 10**6))
def test_shares_round_apart_by_at_most_one(amount, rate):
    assert share_down(amount, rate) * 1_000_000 <= amount * rate <= share_up(amount, rate) * 1_000_000
    assert share_up(amount, rate) - share_down(amount, rate) in (0, 1)


def test_rounding_at_the_edge():
    assert share_up(1, 1) == 1
    assert share_up(1_000_000, 500) == 500
    assert share_up(1_000_001, 500) == 501
    assert divide_up(-3, 2) == -1
    assert divide_up(3, 2) == 2


def test_a_market_that_could_not_be_exact_is_refused():
    with pytest.raises(ValueError, match="whole number"):
        market(1, "X", "0.001", "0.0001", max_leverage=10, position_cap="1", open_interest_cap="1", feed="")


def test_the_initial_fraction_rounds_up():
    listed = market(1, "X", "0.1", "0.0001", max_leverage=3, position_cap="1", open_interest_cap="1", feed="")
    assert listed.initial_fraction == 333_334
    assert listed.notional(600_000, -2) == -12_000_000
