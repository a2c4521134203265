"""Conversion to ticks is exact, halves up, doubt rounded up."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles.price import Price, confidence_ticks, micro_usd, to_ticks

TICKS = st.sampled_from(["0.1", "0.01", "0.001", "0.25", "1", "5", "1e-6", "10"])


def price(value: int, exponent: int = 0, confidence: int = 0) -> Price:
    return Price("BTC-PERP", value, exponent, confidence, 0, "here")


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-18, 12), TICKS)
def test_ticks_are_the_nearest_and_halves_go_up(value, exponent, tick):
    exact = Fraction(value) * Fraction(10) ** exponent / Fraction(tick)
    assert to_ticks(price(value, exponent), tick) == floor(exact + Fraction(1, 2))


@given(st.integers(0, 2**64 - 1), st.integers(-18, 12), TICKS)
def test_doubt_is_never_made_smaller_nor_larger_by_a_tick(confidence, exponent, tick):
    exact = Fraction(confidence) * Fraction(10) ** exponent / Fraction(tick)
    assert exact <= confidence_ticks(price(1, exponent, confidence), tick) < exact + 1


@given(st.integers(0, 2**40), st.integers(-8, 8))
def test_the_scale_of_a_price_does_not_matter(value, exponent):
    assert to_ticks(price(value, exponent), "0.1") == to_ticks(price(value * 1000, exponent - 3), "0.1")


def test_examples():
    assert to_ticks(price(5_924_002_645_461, -8), "0.1") == 592_400
    assert to_ticks(price(5, -2), "0.1") == 1
    assert to_ticks(price(4999, -5), "0.1") == 0
    assert to_ticks(price(-5, -2), "0.1") == 0
    assert confidence_ticks(price(1, 0, 1), "10") == 1


def test_certainty_is_exact_at_its_limit():
    assert not price(1_000_000, 0, 1_000).less_certain_than(1_000)
    assert price(1_000_000, 0, 1_001).less_certain_than(1_000)
    assert price(0, 0, 0).less_certain_than(1_000)
    assert price(-5, 0, 0).less_certain_than(1_000)


def test_what_is_no_price_cannot_be_made():
    for exponent, confidence in ((31, 0), (-31, 0), (0, -1)):
        with pytest.raises(ValueError, match="no price"):
            price(1, exponent, confidence)
    with pytest.raises(ValueError, match="tick"):
        to_ticks(price(1), "0")


@given(st.integers(1, 2**40), TICKS)
def test_ticks_in_micro_usd_are_rounded_down(ticks, tick):
    assert micro_usd(ticks, tick) == max(1, floor(ticks * Fraction(tick) * 1_000_000))
