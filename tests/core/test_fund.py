"""What the insurance fund may take over."""

from hypothesis import given
from hypothesis import strategies as st

from core.account_risk import RiskMark, account_risk
from core.fund import DRAWDOWN, MARKET_SHARE, Fund, Part, may_take
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position
from core.quantities import MILLION

STEPS = steps(MarginTerms((Tier(0, 20_000), Tier(10**9, 50_000))), 0)
MARKS = {1: RiskMark.of(STEPS, 100_000), 2: RiskMark.of(STEPS, 50_000)}
NONE: dict[int, Position] = {}


def part(size, market=1, worse=0):
    """A position at its mark, or so much worse for the fund."""
    return Part(market, size, size * MARKS[market].value_per_lot + worse)


def test_a_market_takes_up_no_more_than_its_share_of_what_is_above_the_floor():
    # 1,000 lots are 100,000,000, of which 2,000,000 are required at first: a quarter of 8,000,000.
    assert may_take(Fund(8_000_000, NONE, 0, 0), [part(1_000)], MARKS)
    assert not may_take(Fund(7_999_999, NONE, 0, 0), [part(1_000)], MARKS)
    assert not may_take(Fund(8_000_000, NONE, 1, 0), [part(1_000)], MARKS)
    assert may_take(Fund(8_000_001, NONE, 1, 0), [part(-1_000)], MARKS)
    assert not may_take(Fund(8_000_000, NONE, 0, 0), [part(1_000, worse=1)], MARKS)
    assert may_take(Fund(7_999_999, NONE, 0, 0), [part(1_000, worse=-1)], MARKS)


def test_what_it_holds_already_counts_and_what_makes_it_smaller_needs_no_share():
    long = {1: Position(1_000, 100_000_000)}
    assert not may_take(Fund(8_000_000, long, 0, 0), [part(1)], MARKS)
    assert may_take(Fund(2_000_000, long, 0, 0), [part(-1_000)], MARKS)
    # Past nothing and beyond it on the other side it grows.
    assert not may_take(Fund(8_000_000, long, 0, 0), [part(-2_001)], MARKS)


def test_all_markets_together_are_covered_by_initial_margin():
    thick = {1: Position(900, 90_000_000), 2: Position(-1_800, -90_000_000)}
    assert may_take(Fund(3_600_000, thick, 0, 0), [part(-1)], MARKS)
    assert not may_take(Fund(3_597_999, thick, 0, 0), [part(-1)], MARKS)


def test_in_a_markets_last_hour_what_it_takes_is_worth_no_more_than_its_end():
    for size, end in ((1_000, 99_999), (-1_000, 100_001)):
        assert may_take(Fund(8_001_000, NONE, 0, 0), [part(size)], MARKS, {1: end})
        assert not may_take(Fund(8_000_999, NONE, 0, 0), [part(size)], MARKS, {1: end})
        # What it would gain by the end it does not have yet.
        assert not may_take(Fund(7_999_999, NONE, 0, 0), [part(size)], MARKS, {1: 2 * 100_000 - end})
    # Its balance lacks 1,000 already, by which what it holds is overstated: closing that brings them back.
    long = {1: Position(1_000, 100_000_000)}
    assert may_take(Fund(-1_000, long, 0, 0), [part(-1_000)], MARKS, {1: 99_999})


def test_beyond_its_drawdown_in_a_period_it_takes_nothing_more_on():
    assert may_take(Fund(8_000_000, NONE, 0, 10_666_666), [part(1_000)], MARKS)
    assert not may_take(Fund(8_000_000, NONE, 0, 10_666_667), [part(1_000)], MARKS)
    assert not may_take(Fund(10**9, NONE, 0, 10**9), [part(1, worse=250_000_001)], MARKS)
    assert may_take(Fund(10**9, NONE, 0, 10**9), [part(1, worse=250_000_000)], MARKS)
    assert may_take(Fund(8_000_000, {1: Position(9, 900_000)}, 0, 10**9), [part(-9)], MARKS)


def test_nothing_is_needed_for_nothing():
    assert may_take(Fund(0, NONE, 0, 0), [], MARKS)


@given(
    balance=st.integers(0, 10**10),
    held=st.integers(-(10**5), 10**5).filter(bool),
    size=st.integers(-(10**5), 10**5).filter(bool),
    worse=st.integers(-(10**9), 10**9),
    floor=st.integers(0, 10**9),
    began=st.integers(0, 10**10),
)
def test_what_it_takes_on_leaves_it_far_from_its_own_liquidation(balance, held, size, worse, floor, began):
    positions = {1: Position(held, held * 100_000)}
    fund = Fund(balance, positions, floor, began)
    if not may_take(fund, [part(size, worse=worse)], MARKS):
        return
    after = account_risk(balance - worse, {1: Position(held + size, (held + size) * 100_000)}, MARKS)
    assert after.equity - floor >= after.initial
    if abs(held + size) > abs(held):
        assert after.initial * MILLION <= (after.equity - floor) * MARKET_SHARE
        assert after.equity * MILLION >= began * (MILLION - DRAWDOWN)
