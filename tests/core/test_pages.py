"""Pages of a batch: the clearing is never below zero on the way, and ends at zero."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pages import plan_pages

PLACES = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 109)), st.integers(-(10**12), 10**12), min_size=1
)


@given(PLACES, st.integers(0, 10**12))
def test_the_clearing_is_never_negative(places, left_over):
    deltas = [(page, slot, delta) for (page, slot), delta in places.items()]
    deltas.append((7, 0, left_over - sum(places.values())))
    clearing = left_over
    seen = []
    for plan in plan_pages(deltas, left_over):
        assert plan.net == sum(delta for _, delta in plan.deltas)
        assert list(plan.deltas) == sorted(plan.deltas)
        clearing -= plan.net
        assert clearing >= 0
        seen += [(plan.page, slot, delta) for slot, delta in plan.deltas]
    assert clearing == 0
    assert sorted(seen) == sorted(one for one in deltas if one[2])


def test_what_is_refused():
    with pytest.raises(ValueError, match="sum to zero"):
        plan_pages([(0, 1, 5)])
    with pytest.raises(ValueError, match="left over"):
        plan_pages([(0, 1, 5)], 4)
    with pytest.raises(ValueError, match="named twice"):
        plan_pages([(0, 1, 5), (0, 1, -5)])
    assert plan_pages([(0, 1, 0)]) == []
