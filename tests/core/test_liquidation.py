"""Who is liquidated, how much, down to which price, and what it leaves behind."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.account_risk import RiskMark, account_risk
from core.liquidation import (
    Closing,
    LiquidationTerms,
    Stage,
    closing,
    compare_risk,
    slice_to_close,
    stage,
    warning_in_force,
    warning_level,
)
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position, trade

TERMS = LiquidationTerms()
TIERS = MarginTerms((Tier(0, 20_000), Tier(10**9, 50_000), Tier(10**10, 200_000)))
STEPS = steps(TIERS, 0)
sizes = st.integers(-(10**6), 10**6).filter(bool)
values = st.integers(1, 10**6)


def test_stages_begin_strictly_below_maintenance_and_below_two_thirds_of_it():
    assert stage(300, 300) is Stage.NONE
    assert stage(299, 300) is Stage.AUCTION
    assert stage(200, 300) is Stage.AUCTION
    assert stage(199, 300) is Stage.TAKEOVER
    assert stage(-1, 300) is Stage.TAKEOVER
    assert stage(-1, 0) is Stage.NONE


def test_a_warning_holds_until_the_share_has_fallen_to_four_fifths_of_its_level():
    assert warning_in_force(0, 200, 100) == 500_000
    assert warning_in_force(500_000, 249, 100) == 500_000
    assert warning_in_force(500_000, 250, 100) == 0
    assert warning_in_force(900_000, 138, 100) == 900_000
    assert warning_in_force(900_000, 139, 100) == 800_000
    assert warning_in_force(900_000, 157, 100) == 500_000
    assert warning_in_force(500_000, 100, 95) == 900_000
    assert warning_in_force(900_000, 100, 0) == 0


def test_warnings_come_before_liquidation():
    assert warning_level(201, 100) == 0
    assert warning_level(200, 100) == 500_000
    assert warning_level(126, 100) == 500_000
    assert warning_level(125, 100) == 800_000
    assert warning_level(100, 100) == 900_000
    assert warning_level(-5, 100) == 900_000
    assert warning_level(-5, 0) == 0


@given(
    st.integers(-(10**9), 10**9), st.integers(0, 10**9), st.integers(-(10**9), 10**9), st.integers(0, 10**9)
)
def test_the_order_of_risk_is_the_same_from_both_sides(equity, maintenance, other, others):
    found = compare_risk(equity, maintenance, other, others)
    assert found == -compare_risk(other, others, equity, maintenance)
    if maintenance and others:
        ratio = other * maintenance - equity * others
        assert ratio == 0 or found == (1 if ratio > 0 else -1)


def test_slices_are_a_fifth_until_the_rest_is_small():
    worth = 1_000_000
    assert slice_to_close(TERMS, 500_001, worth) == 100_001
    assert slice_to_close(TERMS, -100_001, worth) == 20_001
    assert slice_to_close(TERMS, -100_000, worth) == 100_000
    assert slice_to_close(TERMS, 1, 10**12) == 1


def test_a_closing_is_part_of_a_position():
    mark = RiskMark.of(STEPS, 1_000)
    assert closing(mark, -10, 4, 30, 100) == Closing(-4, -4_000, 40, 30, 100)
    for lots in (0, -1, 11):
        with pytest.raises(ValueError, match="cannot close"):
            closing(mark, 10, lots, 30, 100)


def test_the_bound_widens_as_the_account_gets_worse_and_stops_at_the_bankruptcy_price():
    mark = RiskMark.of(STEPS, 100_000)
    maintenance = mark.maintenance_of(1_000)
    assert maintenance == 1_000_000

    def bounds(equity):
        return [
            closing(mark, size, 200, equity, maintenance).worst_price(TERMS, 1) for size in (1_000, -1_000)
        ]

    assert bounds(1_000_000) == [100_000, 100_000]
    assert bounds(900_000) == [99_801, 100_199]
    assert bounds(666_667) == [99_334, 100_666]
    # Were the fund not to take it over, the account would sell at no less than what its own equity pays for.
    assert bounds(100_000) == [99_900, 100_100]
    assert bounds(0) == [100_000, 100_000]


def test_a_price_bound_is_a_price():
    free = Closing(1, 5, 0, 100, 10)
    assert free.worst_price(TERMS, 1_000_000) == 1
    assert Closing(-1, -5, 0, 100, 10).worst_price(TERMS, 1_000_000) == 0


@st.composite
def accounts(draw):
    """An account with up to four positions whose equity lies anywhere between a third and all of its maintenance."""
    positions, marks = {}, {}
    for market in range(1, draw(st.integers(1, 4)) + 1):
        marks[market] = RiskMark.of(STEPS, draw(values))
        positions[market] = Position(draw(sizes), draw(st.integers(-(10**9), 10**9)))
    bare = account_risk(0, positions, marks)
    equity = draw(st.integers(bare.maintenance // 3, bare.maintenance - 1))
    return equity - bare.equity, positions, marks


@given(accounts(), st.data())
def test_a_liquidation_never_makes_the_margin_ratio_worse(account, data):
    balance, positions, marks = account
    before = account_risk(balance, positions, marks)
    market = data.draw(st.sampled_from(sorted(positions)))
    held, mark = positions[market], marks[market]
    lots = slice_to_close(TERMS, held.size, mark.value_per_lot)
    lots = data.draw(st.integers(1, lots))
    part = closing(mark, held.size, lots, before.equity, before.maintenance)
    price = part.worst_price(TERMS, 1)
    better = data.draw(st.integers(0, mark.value_per_lot))
    price = price + better if held.size > 0 else max(0, price - better)
    brought = price * part.size
    fee = part.insurance_delta(brought, TERMS.fee, TERMS.surplus_share)
    assert fee >= 0

    size, cost, realized = trade(held.size, held.cost, -part.size, price)
    rest = {**positions, market: Position(size, cost)}
    after = account_risk(balance + realized - fee, rest, marks)
    assert after.equity * before.maintenance >= before.equity * after.maintenance


@given(accounts())
def test_an_account_closed_at_its_bankruptcy_values_ends_at_exactly_zero(account):
    balance, positions, marks = account
    held = dict(positions)
    for market in sorted(positions):
        risk = account_risk(balance, held, marks)
        position, mark = held[market], marks[market]
        part = closing(mark, position.size, abs(position.size), risk.equity, risk.maintenance)
        balance += part.bankruptcy_value - position.cost
        del held[market]
    assert balance == 0


def test_the_fee_is_a_share_of_the_value_or_of_what_came_in_above_the_bankruptcy_value():
    part = Closing(10, 100_000, 1_000, 800, 1_000)
    assert part.bankruptcy_value == 99_200
    assert part.insurance_delta(99_300, TERMS.fee, TERMS.surplus_share) == 95
    assert part.insurance_delta(102_001, TERMS.fee, TERMS.surplus_share) == 511
    assert part.insurance_delta(99_200, TERMS.fee, TERMS.surplus_share) == 0
    assert part.insurance_delta(99_199, TERMS.fee, TERMS.surplus_share) == -1


@given(sizes, values, st.integers(-(10**9), -1))
def test_an_account_in_debt_closes_where_the_debt_is_paid(size, value, equity):
    mark = RiskMark.of(STEPS, value)
    part = closing(mark, size, abs(size), equity, mark.maintenance_of(size))
    assert part.bankruptcy_value == part.value - equity
    assert part.insurance_delta(part.value, TERMS.fee) == equity


@given(sizes, values, st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_fund_never_takes_more_than_its_fee_nor_more_than_the_surplus(size, value, equity, brought):
    mark = RiskMark.of(STEPS, value)
    maintenance = mark.maintenance_of(size)
    assume(equity < maintenance)
    part = closing(mark, size, abs(size), equity, maintenance)
    signed = brought if size > 0 else -brought
    paid = part.insurance_delta(signed, TERMS.fee, TERMS.surplus_share)
    surplus = signed - part.bankruptcy_value
    assert paid <= max(surplus, 0)
    assert paid * 1_000_000 <= brought * TERMS.fee + 1_000_000
    if surplus < 0:
        assert paid == surplus
