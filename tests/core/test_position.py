"""Trading on one position: nothing is lost, receivers round down."""

from hypothesis import given
from hypothesis import strategies as st

from core.position import trade

LOTS = st.integers(-(10**9), 10**9)
PRICES = st.integers(1, 10**9)


@given(st.lists(st.tuples(LOTS.filter(bool), PRICES), min_size=1, max_size=30))
def test_cost_and_realized_balance_what_was_paid(trades):
    size = cost = realized = paid = 0
    for change, price in trades:
        size, cost, gain = trade(size, cost, change, price)
        realized += gain
        paid += change * price
        assert realized == cost - paid
        assert (size == 0) <= (cost == 0)
    if size == 0:
        assert realized == -paid


def test_opening_and_adding_realize_nothing():
    assert trade(0, 0, 3, 100) == (3, 300, 0)
    assert trade(3, 300, 2, 110) == (5, 520, 0)
    assert trade(-3, -300, -2, 110) == (-5, -520, 0)


def test_a_long_that_shrinks_rounds_what_it_realizes_down():
    assert trade(3, 100, -1, 40) == (2, 66, 6)
    assert trade(2, 66, -2, 40) == (0, 0, 14)


def test_a_short_that_shrinks_rounds_what_it_realizes_down():
    assert trade(-3, -100, 1, 30) == (-2, -67, 3)


def test_flipping_closes_whole_and_opens_the_rest_at_the_new_price():
    assert trade(2, 200, -5, 90) == (-3, -270, -20)
    assert trade(-2, -200, 5, 90) == (3, 270, 20)
