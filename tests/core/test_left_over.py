"""What earlier batches took and gave to nobody goes to those who lack it, by the rules of any batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.accounts import INSURANCE
from core.netting import DELTA_MAX, net

AMOUNTS = st.lists(st.integers(0, 10**6), min_size=2, max_size=10)


@given(AMOUNTS, AMOUNTS, st.sampled_from([1, DELTA_MAX // 10**6, DELTA_MAX // 10**5]))
def test_all_that_is_left_over_is_given_and_no_delta_is_too_large(equities, burnt, scale):
    equity = {
        account: value * scale for account, value in zip([INSURANCE, *range(16, 25)], equities, strict=False)
    }
    taken = dict(zip(equity, burnt, strict=False))
    settled = {
        account: value - min(value, taken.get(account, 0) * scale) for account, value in equity.items()
    }
    left_over = min(DELTA_MAX, sum(equity.values()) - sum(settled.values()))
    settled[INSURANCE] += sum(equity.values()) - sum(settled.values()) - left_over
    deltas = net(settled, equity, left_over=left_over)
    assert sum(deltas.values()) == left_over
    assert all(abs(delta) <= DELTA_MAX for delta in deltas.values())
    assert all(settled[account] + deltas.get(account, 0) >= 0 for account in settled)
    if scale == 1:
        assert all(settled[account] + deltas.get(account, 0) == equity[account] for account in settled)


def test_the_largest_left_over_beside_the_largest_debit_makes_the_debit_wait():
    settled = {16: 2 * DELTA_MAX, 17: 0}
    deltas = net(settled, {16: 0, 17: 3 * DELTA_MAX}, left_over=DELTA_MAX)
    assert deltas == {17: DELTA_MAX}


def test_a_debt_is_not_paid_out_of_what_is_left_over():
    settled = {INSURANCE: 0, 16: 0, 17: 60}
    assert net(settled, {INSURANCE: 0, 16: -40, 17: 140}, left_over=40) == {17: 40}


def test_totals_that_differ_by_something_else_are_refused():
    with pytest.raises(ValueError, match="same total"):
        net({16: 1}, {16: 3}, left_over=1)
