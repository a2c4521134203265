"""The mark's three views, what stands in for a missing one, and the average that forgets by time."""

import math

from hypothesis import given
from hypothesis import strategies as st

from core.mark_price import (
    BASIS_WINDOW,
    Basis,
    decay,
    followed,
    index_with_basis,
    mark_price,
    median,
    price_of_quotes,
)
from core.quantities import SECOND

prices = st.integers(1, 10**9)
maybe = st.none() | prices


@given(st.integers(0, 40 * BASIS_WINDOW))
def test_decay_is_the_exponential(elapsed):
    assert abs(decay(elapsed, BASIS_WINDOW) / 2**48 - math.exp(-elapsed / BASIS_WINDOW)) < 2**-36


@given(st.integers(0, 10 * BASIS_WINDOW), st.integers(0, BASIS_WINDOW))
def test_decay_never_rises_by_more_than_its_rounding(elapsed, more):
    assert decay(elapsed + more, BASIS_WINDOW) <= decay(elapsed, BASIS_WINDOW) + 2**12


def test_the_average_takes_the_window_to_follow_by_two_thirds():
    after = followed(Basis(0, 0), 1_099, 1_101, 1_000, BASIS_WINDOW)
    assert after == Basis(63_212_056, BASIS_WINDOW)
    assert index_with_basis(1_000, after, BASIS_WINDOW) == 1_063


@given(st.integers(1, 149), prices, prices, prices)
def test_the_average_depends_on_time_not_on_how_often_it_was_looked_at(cut, bid, ask, index):
    once = followed(Basis(0, 0), bid, ask, index, 150 * SECOND)
    twice = followed(followed(Basis(0, 0), bid, ask, index, cut * SECOND), bid, ask, index, 150 * SECOND)
    assert abs(once.average - twice.average) <= 2 + abs(once.average) // 10**9


@given(st.integers(-(10**12), 10**12), prices, prices, prices, st.integers(1, 10**12))
def test_the_average_stays_between_what_it_was_and_what_is_seen(average, bid, ask, index, elapsed):
    seen = (bid + ask) * 500_000 - index * 1_000_000
    after = followed(Basis(average, 5), bid, ask, index, 5 + elapsed)
    assert min(average, seen) <= after.average <= max(average, seen)


def test_a_look_back_in_time_changes_nothing():
    basis = Basis(7, 100)
    assert followed(basis, 5, 7, 6, 100) is basis
    assert followed(basis, 5, 7, 6, 99) is basis


def test_a_basis_not_seen_for_a_window_is_no_view():
    assert index_with_basis(100, Basis(-500_000, 0), BASIS_WINDOW) == 100
    assert index_with_basis(100, Basis(-500_001, 0), BASIS_WINDOW) == 99
    assert index_with_basis(100, Basis(-500_001, 0), BASIS_WINDOW + 1) is None
    assert index_with_basis(100, Basis(-100_000_000, 0), 0) is None


def test_quotes_need_both_sides():
    assert price_of_quotes(99, 102, None) == 100
    assert price_of_quotes(99, 102, 50) == 99
    assert price_of_quotes(99, 102, 101) == 101
    assert price_of_quotes(None, 102, 101) is None
    assert price_of_quotes(99, None, 101) is None


def test_medians():
    assert median([3]) == 3
    assert median([5, 1, 3]) == 3
    assert median([1, 2]) == 1
    assert median([4, 1, 9, 2]) == 3


def test_the_index_stands_in_for_a_missing_view_and_alone_only_reduces():
    assert mark_price(100, 105, 110, 120).price == 107
    assert mark_price(100, 90, None, 120).price == 100
    assert mark_price(100, None, 110, 120).price == 110
    assert mark_price(100, 90, 95, None).price == 95
    for missing in ((90, None, None), (None, 90, None), (None, None, 90), (None, None, None)):
        assert mark_price(100, *missing) == mark_price(100, None, None, None)
    assert mark_price(100, None, None, None).reduce_only
    assert not mark_price(100, None, 110, 120).reduce_only


@given(prices, st.tuples(maybe, maybe, maybe))
def test_no_single_voice_moves_the_mark_beyond_the_others(index, views):
    mark = mark_price(index, *views)
    with_basis, of_quotes, outside = views
    held = [view for view in (with_basis, of_quotes, index) if view is not None]
    assert min(held) <= mark.price <= max(held)
    if outside is not None:
        # Whoever makes all the quotes makes both views of them.
        assert min(outside, index) <= mark.price <= max(outside, index)
