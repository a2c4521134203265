"""What only reduces never increases a position and never turns it around."""

from hypothesis import given
from hypothesis import strategies as st

from core.account_risk import RiskMark
from core.liquidation import LiquidationTerms, closing, slice_to_close
from core.margin_terms import MarginTerms, Tier, steps
from core.position import trade
from matcher.fills import reducible

sizes = st.integers(-(10**9), 10**9)


def shrinks(before, after):
    return abs(after) <= abs(before) and before * after >= 0


@given(sizes, st.sampled_from([1, -1]), st.integers(1, 10**9), st.integers(1, 10**6))
def test_a_reduce_only_request_never_increases(held, side, wanted, price):
    filled = min(wanted, reducible(held, side))
    after, _, _ = trade(held, held * price, side * filled, price)
    assert shrinks(held, after)
    assert (after == held) == (filled == 0)


@given(sizes.filter(bool), st.integers(1, 10**6))
def test_a_liquidation_slice_never_increases_and_always_closes_something(held, value):
    lots = slice_to_close(LiquidationTerms(), held, value)
    mark = RiskMark.of(steps(MarginTerms((Tier(0, 20_000),)), 0), value)
    part = closing(mark, held, lots, 0, mark.maintenance_of(held))
    after, _, _ = trade(held, held * value, -part.size, value)
    assert shrinks(held, after)
    assert after != held
