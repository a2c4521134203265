"""What an owner that leaves takes out of the accounts that share its slot, and from when on."""

from hypothesis import given
from hypothesis import strategies as st

from core.exits import LEAD, matures_at, sell_by, taken


def test_what_is_free_goes_first_in_order_and_then_what_positions_need():
    family = [(100, 40), (50, 50), (30, 0)]
    assert taken(70, family) == [60, 0, 10]
    assert taken(90 + 50, family) == [100, 10, 30]
    assert taken(1_000, family) == [100, 50, 30]
    assert taken(10, [(-5, 3), (20, 30)]) == [0, 10]


def test_a_request_counts_as_paid_a_little_before_the_chain_pays_it_but_not_in_the_owners_half():
    day = 86_400 * 10**9
    assert matures_at(0, day) == day - LEAD
    assert matures_at(day - LEAD, day) == day - LEAD // 2
    assert matures_at(day, 5) == day
    # The chain is a minute behind, then an hour: it will be as far behind when it pays.
    assert matures_at(0, day, day - 2 * LEAD) == day - LEAD - LEAD // 2
    assert matures_at(0, day, day - 61 * LEAD) == day - 31 * LEAD
    assert matures_at(0, day, day) == day - LEAD
    assert matures_at(0, day, 1) == day // 2


def test_what_is_sold_for_a_request_has_come_furthest_a_minute_before_the_chain_pays_it():
    day = 86_400
    assert sell_by(day) == day - 60
    # That is when it matures as long as the chain is up to date.
    assert matures_at(0, day * 10**9, day * 10**9) == sell_by(day) * 10**9


@given(
    st.integers(0, 10**15),
    st.lists(st.tuples(st.integers(-(10**12), 10**15), st.integers(0, 10**14)), min_size=1, max_size=8),
)
def test_nobody_gives_more_than_it_has_and_no_margin_goes_before_all_that_is_free(amount, family):
    parts = taken(amount, family)
    has = [max(0, equity) for equity, _ in family]
    free = [min(one, max(0, equity - initial)) for one, (equity, initial) in zip(has, family, strict=True)]
    assert sum(parts) == min(amount, sum(has))
    assert all(0 <= part <= one for part, one in zip(parts, has, strict=True))
    if any(part > one for part, one in zip(parts, free, strict=True)):
        assert all(part >= one for part, one in zip(parts, free, strict=True))
