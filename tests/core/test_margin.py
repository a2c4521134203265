"""Margin at its edges."""

from hypothesis import given
from hypothesis import strategies as st

from core.margin import Mark, margin, trade_is_affordable
from core.market import DEFAULT_MARKETS
from core.position import Position


def test_equity_counts_profit_and_loss_and_the_requirement_rounds_up():
    positions = {1: Position(3, 250), 2: Position(-1, -90)}
    result = margin(1_000, positions, {1: Mark(1, 100, 100 * 20_000), 2: Mark(1, 101, 101 * 100_000)})
    assert result.equity == 1_000 + 50 - 11
    assert result.requirement == 6 + 11
    assert result.notional == 401
    assert result.available == 1_022


def test_a_withdrawal_leaves_the_requirement_and_a_tenth_of_the_notional():
    positions = {1: Position(10, 1_000)}
    assert margin(1_000, positions, {1: Mark(1, 100, 100 * 20_000)}).withdrawable == 900
    assert margin(1_000, positions, {1: Mark(1, 100, 100 * 500_000)}).withdrawable == 500
    assert margin(50, positions, {1: Mark(1, 100, 100 * 20_000)}).withdrawable == 0


def test_a_mark_requires_the_inverse_of_the_highest_leverage():
    sol = DEFAULT_MARKETS[2]
    mark = Mark.of(sol, 150_000)
    assert mark == Mark(150_000, 1_500_000, 1_500_000 * 50_000)
    assert (mark.requirement(2), mark.requirement(-2), mark.requirement(0)) == (150_000, 150_000, 0)
    assert Mark(1, 1, 1).requirement(1) == 1


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
    held = {id: Position(size, size * value) for id, (size, value) in enumerate(positions, 1)}
    marks = {id: Mark(1, value, value * 20_000) for id, (_, value) in enumerate(positions, 1)}
    before = margin(balance, held, marks)
    after = margin(balance - before.withdrawable, held, marks)
    assert after.available >= 0 or before.withdrawable == 0
    assert before.withdrawable >= 0
