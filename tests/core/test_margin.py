"""Margin at its edges."""

from hypothesis import given
from hypothesis import strategies as st

from core.margin import Held, margin, trade_is_affordable


def test_equity_counts_profit_and_loss_and_the_requirement_rounds_up():
    result = margin(1_000, [Held(3, 250, 100, 20_000), Held(-1, -90, 101, 100_000)])
    assert result.equity == 1_000 + 50 - 11
    assert result.requirement == 6 + 11
    assert result.notional == 401
    assert result.available == 1_022


def test_a_withdrawal_leaves_the_requirement_and_a_tenth_of_the_notional():
    assert margin(1_000, [Held(10, 1_000, 100, 20_000)]).withdrawable == 900
    assert margin(1_000, [Held(10, 1_000, 100, 500_000)]).withdrawable == 500
    assert margin(50, [Held(10, 1_000, 100, 20_000)]).withdrawable == 0


def test_what_may_be_held():
    assert trade_is_affordable(0, 1, 10, 10)
    assert not trade_is_affordable(0, 1, 9, 10)
    assert trade_is_affordable(5, 4, 0, 10)
    assert not trade_is_affordable(5, 4, -1, 10)
    assert not trade_is_affordable(5, -4, 9, 10)
    assert not trade_is_affordable(5, 6, 9, 10)


@given(
    st.integers(-(10**12), 10**12), st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 10**6)))
)
def test_withdrawing_all_that_is_withdrawable_leaves_the_requirement(balance, positions):
    held = [Held(size, size * value, value, 20_000) for size, value in positions]
    before = margin(balance, held)
    after = margin(balance - before.withdrawable, held)
    assert after.available >= 0 or before.withdrawable == 0
    assert before.withdrawable >= 0
