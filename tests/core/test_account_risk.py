"""Tiers, fractions that grow with open interest, requirements of accounts, and what trades may do to them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.account_risk import AccountRisk, RiskMark, account_risk, equity_at, preview, trade_is_allowed
from core.liquidation import Stage, stage
from core.margin_terms import MarginTerms, Tier, initial_fraction, maintenance_fraction, steps
from core.position import Position

TIERED = MarginTerms((Tier(0, 20_000), Tier(1_000_000, 50_000), Tier(5_000_000, 200_000)))

MONEY = st.integers(-(10**15), 10**15)
SIZES = st.integers(-(10**9), 10**9)


@st.composite
def terms(draw):
    count = draw(st.integers(1, 4))
    edges = sorted(draw(st.sets(st.integers(1, 10**12), min_size=count - 1, max_size=count - 1)))
    fractions = sorted(draw(st.lists(st.integers(1, 900_000), min_size=count, max_size=count)))
    lower = draw(st.integers(0, 10**12))
    upper = lower + draw(st.integers(0, 10**12))
    tiers = tuple(Tier(*one) for one in zip([0, *edges], fractions, strict=True))
    return MarginTerms(tiers, lower, upper, draw(st.integers(0, 1_000_000)))


@st.composite
def marks(draw):
    return RiskMark.of(steps(draw(terms()), draw(st.integers(0, 2 * 10**12))), draw(st.integers(1, 10**6)))


def test_each_part_of_the_notional_requires_its_own_tier():
    mark = RiskMark.of(steps(TIERED, 0), 1)
    assert mark.initial_of(1_000_000) == 20_000
    assert mark.initial_of(-3_000_000) == 20_000 + 100_000
    assert mark.initial_of(6_000_000) == 20_000 + 200_000 + 200_000
    assert mark.maintenance_of(6_000_000) == 210_000
    assert mark.initial_of(1) == 1


def test_open_interest_raises_the_initial_fraction_but_not_maintenance():
    grown = MarginTerms(TIERED.tiers, 1_000, 3_000)
    half, full = steps(grown, 2_000), steps(grown, 3_000)
    assert [step.initial for step in half] == [510_000, 525_000, 600_000]
    assert [step.initial for step in full] == [1_000_000] * 3
    assert [step.maintenance for step in full] == [10_000, 25_000, 100_000]
    assert RiskMark.of(full, 1).initial_of(7_000_000) == 7_000_000


def test_fractions_round_down_and_stand_still_without_bounds():
    assert initial_fraction(20_000, 10**15, 0, 0) == 20_000
    assert initial_fraction(200_000, 1_234_567, 1_000_000, 2_000_000) == 387_653
    assert maintenance_fraction(33_333) == 16_666


@pytest.mark.parametrize(
    "given_terms",
    [
        {"tiers": ()},
        {"tiers": (Tier(1, 20_000),)},
        {"tiers": (Tier(0, 20_000), Tier(0, 30_000))},
        {"tiers": (Tier(0, 20_000), Tier(5, 10_000))},
        {"tiers": (Tier(0, 1_000_001),)},
        {"tiers": (Tier(0, -1),)},
        {"tiers": (Tier(0, 20_000),), "maintenance_share": 1_000_001},
        {"tiers": (Tier(0, 20_000),), "open_interest_lower": 2, "open_interest_upper": 1},
    ],
)
def test_terms_that_mean_nothing_are_refused(given_terms):
    with pytest.raises(ValueError, match=r"tier|initial|maintenance|open interest"):
        MarginTerms(**given_terms)


def test_an_account_adds_its_positions_up_whatever_their_tiers():
    tiered, flat = (
        RiskMark.of(steps(TIERED, 0), 10),
        RiskMark.of(steps(MarginTerms((Tier(0, 100_000),)), 0), 7),
    )
    positions = {1: Position(-300_000, -2_900_000), 2: Position(3, 20)}
    risk = account_risk(500_000, positions, {1: tiered, 2: flat})
    assert risk == AccountRisk(500_000 - 100_000 + 1, 120_000 + 3, 60_000 + 2, 3_000_021)
    assert account_risk(500_000, positions, {1: tiered, 2: flat}, 1) == AccountRisk(500_001, 3, 2, 21)
    assert account_risk(500_000, {}, {}).withdrawable == 500_000


def test_an_account_at_its_maintenance_is_not_liquidated_and_one_that_holds_nothing_never_is():
    assert not AccountRisk(100, 200, 100, 0).liquidatable
    assert AccountRisk(99, 200, 100, 0).liquidatable
    assert not AccountRisk(-1, 0, 0, 0).liquidatable
    assert AccountRisk(200, 200, 100, 0).may_open
    assert not AccountRisk(199, 200, 100, 0).may_open


def test_a_withdrawal_leaves_the_initial_requirement_and_a_tenth_of_the_notional():
    assert AccountRisk(1_000, 20, 10, 1_001).withdrawable == 899
    assert AccountRisk(1_000, 500, 250, 1_001).withdrawable == 500
    assert AccountRisk(50, 20, 10, 1_000).withdrawable == 0


@given(marks(), st.integers(-(10**9), 10**9))
def test_the_fast_path_and_the_tiers_agree_and_maintenance_is_never_more_than_initial(mark, size):
    held = {1: Position(size, 0)} if size else {}
    risk = account_risk(0, held, {1: mark})
    assert risk.initial == mark.initial_of(size)
    assert risk.maintenance == mark.maintenance_of(size) <= risk.initial <= risk.notional
    assert account_risk(0, {}, {}).holding(size, 0, mark) == risk


@given(marks(), marks(), MONEY, st.tuples(SIZES, MONEY), st.tuples(SIZES, MONEY))
def test_equity_alone_is_the_equity_of_the_risk(mark, other, balance, one, two):
    held = {1: Position(*one), 2: Position(*two)}
    both = {1: mark, 2: other}
    assert equity_at(balance, held, both) == account_risk(balance, held, both).equity


@given(marks(), st.integers(1, 10**9), st.integers(1, 10**9))
def test_requirements_grow_with_size_and_never_faster_than_notional(mark, size, more):
    for requirement in (mark.initial_of, mark.maintenance_of):
        grown = requirement(size + more) - requirement(size)
        assert -1 <= grown <= more * mark.value_per_lot + 1


LOTS = st.integers(-(10**6), 10**6)
PERMILLE_OF_MARK = st.one_of(st.integers(995, 1_005), st.integers(1, 2_000))
MONEY_PERMILLE = st.one_of(st.integers(200, 2_000), st.integers(-10, 200))
"""Of the notional of what is held and traded."""
trades = st.tuples(LOTS, LOTS.filter(bool), PERMILLE_OF_MARK, MONEY_PERMILLE)


def priced(mark, permille):
    """A share of the mark, at least one micro-USDC a lot."""
    return max(1, mark.value_per_lot * permille // 1_000)


def money(mark, held, change, permille):
    return (abs(held) + abs(change)) * mark.value_per_lot * permille // 1_000


@given(marks(), trades, st.integers(0, 10**6), st.integers(0, 10**9))
def test_what_was_just_allowed_to_open_cannot_be_liquidated_at_the_same_mark(mark, one, fee, other):
    held, change, permille, share = one
    if abs(held + change) <= abs(held):
        change = -change
    elsewhere = AccountRisk(money(mark, held, change, share), other, other // 2, other)
    seen = preview(
        elsewhere, Position(held, held * mark.value_per_lot), change, priced(mark, permille), fee, mark
    )
    assume(seen.allowed)
    assert not seen.after.liquidatable
    assert stage(seen.after.equity, seen.after.maintenance) is Stage.NONE


@given(marks(), trades, st.integers(0, 10**6))
def test_no_allowed_trade_drops_an_account_from_healthy_into_liquidation(mark, one, fee):
    held, change, permille, share = one
    position = Position(held, held * mark.value_per_lot)
    elsewhere = AccountRisk(money(mark, held, change, share), 0, 0, 0)
    seen = preview(elsewhere, position, change, priced(mark, permille), fee, mark)
    assume(seen.allowed and not seen.before.liquidatable)
    assert not seen.after.liquidatable


def test_a_losing_account_may_get_out_but_not_give_its_equity_away():
    before = AccountRisk(150, 200, 100, 10_000)
    assert trade_is_allowed(10, 5, before, AccountRisk(75, 100, 50, 5_000))
    assert not trade_is_allowed(10, 5, before, AccountRisk(74, 100, 50, 5_000))
    assert not trade_is_allowed(10, 11, before, AccountRisk(150, 220, 110, 11_000))
    assert not trade_is_allowed(10, -5, before, AccountRisk(75, 100, 50, 5_000))
    assert trade_is_allowed(10, 0, before, AccountRisk(0, 0, 0, 0))


def test_a_preview_shows_position_profit_and_both_risks():
    mark = RiskMark.of(steps(MarginTerms((Tier(0, 20_000),)), 0), 100)
    seen = preview(AccountRisk(1_000, 0, 0, 0), Position(10, 900), -4, 110, 3, mark)
    assert (seen.size, seen.cost, seen.realized) == (6, 540, 80)
    assert seen.before == AccountRisk(1_100, 20, 10, 1_000)
    assert seen.after == AccountRisk(1_137, 12, 6, 600)
    assert seen.allowed
