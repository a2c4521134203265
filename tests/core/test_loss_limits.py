"""What settlement cannot take backs nothing: against a slot that takes what it may, for an account alone and with sub-accounts."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from core.loss_limits import Reach

money = st.integers(0, 10**12)
equities = st.lists(st.integers(-(10**11), 10**12), min_size=1, max_size=4)
left = st.integers(-(10**11), 10**12)


def reaches(held: int, left: int, equities: list[int]) -> list[Reach]:
    """Of an account and its sub-accounts, in order."""
    there = [max(0, equity) for equity in equities]
    before = [0, *accumulate(there)]
    return [Reach(held, left, before[n], sum(there) - there[n]) for n in range(len(equities))]


def collaterals(held: int, left: int, equities: list[int]) -> list[int]:
    return [
        equity - reach.uncounted(equity)
        for equity, reach in zip(equities, reaches(held, left, equities), strict=True)
    ]


def test_an_account_alone():
    # 1,000 in the slot, of which 100 may be taken, and 100 less 30 once 30 are lost and not settled yet.
    assert collaterals(1_000, 100, [1_000]) == [100]
    assert collaterals(1_000, 100, [970]) == [70]
    assert collaterals(970, 70, [970]) == [70]
    # More was lost than may be taken: nothing backs anything, and nobody else pays for it.
    assert collaterals(1_000, 100, [850]) == [0]
    # It has less than nothing: that is a debt like any other.
    assert collaterals(1_000, 100, [-5]) == [-5]
    # The limit is above what is there.
    assert collaterals(1_000, 2_000, [900]) == [900]


def test_what_is_out_of_reach_is_the_parents_first():
    assert collaterals(1_000, 300, [800, 100, 100]) == [100, 100, 100]
    assert collaterals(1_000, 300, [600, 300, 100]) == [0, 200, 100]
    assert collaterals(1_000, 0, [600, 300, 100]) == [0, 0, 0]
    assert collaterals(1_000, 300, [-50, 1_000]) == [-50, 300]


@given(money, left, equities)
def test_who_loses_all_its_collateral_has_lost_no_more_than_settlement_takes(held, left, equities):
    kept = [
        max(0, equity) - max(0, counted)
        for equity, counted in zip(equities, collaterals(held, left, equities), strict=True)
    ]
    # Where more is lost already than may be taken, nothing of what is there counts.
    assert held - sum(kept) <= max(left, held - sum(max(0, equity) for equity in equities))


@given(money, left, equities)
def test_collateral_is_never_more_than_equity_and_as_much_as_reach_and_gains_allow(held, left, equities):
    counted, there = collaterals(held, left, equities), sum(max(0, equity) for equity in equities)
    for one, equity in zip(counted, equities, strict=True):
        assert one <= equity
        assert one >= min(0, equity)
    assert sum(max(0, one) for one in counted) == max(0, there - max(0, held - left))


@given(money, left, equities, money)
def test_a_deposit_counts_as_far_as_the_limit_leaves_and_a_withdrawal_takes_nothing_from_collateral(
    held, left, equities, amount
):
    before = collaterals(held, left, equities)[0]
    after = collaterals(held + amount, left, [equities[0] + amount, *equities[1:]])[0]
    if equities[0] >= 0:
        assert before <= after <= before + amount
        if held >= left and equities[0] >= held - left:
            assert after == before


@given(money, left, equities)
def test_a_batch_never_leaves_less_than_what_opening_was_judged_by(held, left, equities):
    there = sum(max(0, equity) for equity in equities)
    settled = left - max(0, held - there)
    for was, now, equity in zip(
        reaches(held, left, equities), reaches(there, settled, equities), equities, strict=True
    ):
        if equity >= 0:
            assert now.beyond <= was.beyond_settled(equity)
        assert was.beyond_settled(equity) >= was.beyond


@given(money, left, left, equities)
def test_a_higher_limit_never_counts_less(held, one, other, equities):
    lower, higher = sorted((one, other))
    for less, more in zip(
        collaterals(held, lower, equities), collaterals(held, higher, equities), strict=True
    ):
        assert less <= more
