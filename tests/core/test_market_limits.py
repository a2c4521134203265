"""Limits at their edges: what the rules can compute with, and what a market keeps."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.account_risk import RiskMark
from core.funding import FundingTerms, charge_per_lot, hourly_rate, payment, rate_cap
from core.liquidation import LiquidationTerms
from core.margin_terms import MarginTerms, Tier, maintenance_fraction, steps
from core.mark_price import MarkTerms, basis_bound
from core.market import DEFAULT_MARKETS
from core.market_limits import (
    AGE_MAX,
    AGE_MIN,
    CAP_MAX,
    FEE_MAX,
    INTEREST_MAX,
    LEVERAGE_MAX,
    LIQUIDATION_FEE_MAX,
    MAINTENANCE_MAX,
    MAINTENANCE_MIN,
    MARGIN_FACTOR_MAX,
    RATE_CAP_MAX,
    URGENCY_MAX,
    VELOCITY_MAX,
    MarketLimits,
    flaw,
    limits_of,
    with_limits,
)
from core.open_interest import WINDOW_MAX, WINDOW_MIN, JumpAlarm
from core.quantities import MONEY_MAX

LIMITS = replace(limits_of(DEFAULT_MARKETS[0]), margin=None)


def test_the_default_markets_have_usable_limits():
    assert [flaw(limits_of(market)) for market in DEFAULT_MARKETS] == ["", "", ""]


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("max_leverage", (1, LEVERAGE_MAX), (0, LEVERAGE_MAX + 1)),
        ("taker_fee", (0, FEE_MAX), (-1, FEE_MAX + 1)),
        ("oracle_band", (0, 1_000_000), (-1, 1_000_001)),
        ("position_cap", (1, CAP_MAX), (0, CAP_MAX + 1)),
        ("open_interest_cap", (1, CAP_MAX), (0, CAP_MAX + 1)),
        (
            "alarm",
            (None, JumpAlarm(1, WINDOW_MIN), JumpAlarm(1_000_000, WINDOW_MAX)),
            (JumpAlarm(0, WINDOW_MIN), JumpAlarm(1_000_001, WINDOW_MIN), JumpAlarm(1, WINDOW_MIN - 1)),
        ),
        ("margin", (MarginTerms((Tier(0, 20_000),)),), (MarginTerms((Tier(0, 20_001),)),)),
        (
            "margin",
            (
                MarginTerms((Tier(0, 20_000), Tier(MONEY_MAX, 30_000)), 0, MONEY_MAX),
                MarginTerms((Tier(0, 20_000),), maintenance_share=MAINTENANCE_MIN),
                MarginTerms((Tier(0, 20_000),), maintenance_share=MAINTENANCE_MAX),
            ),
            (
                MarginTerms((Tier(0, 20_000), Tier(MONEY_MAX + 1, 30_000))),
                MarginTerms((Tier(0, 20_000),), -1, 0),
                MarginTerms((Tier(0, 20_000),), maintenance_share=0),
                MarginTerms((Tier(0, 20_000),), maintenance_share=49),
                MarginTerms((Tier(0, 20_000),), maintenance_share=MAINTENANCE_MIN - 1),
                MarginTerms((Tier(0, 20_000),), maintenance_share=MAINTENANCE_MAX + 1),
                MarginTerms((Tier(0, 20_000),), maintenance_share=1_000_000),
                MarginTerms((Tier(0, 20_000),), 0, MONEY_MAX + 1),
            ),
        ),
        ("mark", (MarkTerms(0, 1), MarkTerms(999_999, 10**6)), (MarkTerms(0, 0), MarkTerms(0, 10**6 + 1))),
        ("index_max_age", (AGE_MIN, AGE_MAX), (AGE_MIN - 1, AGE_MAX + 1)),
        (
            "liquidation",
            (
                LiquidationTerms(1, 0, 0, 0, 0, 1),
                LiquidationTerms(10**6, MONEY_MAX, LIQUIDATION_FEE_MAX, 10**6, 10**6, URGENCY_MAX),
            ),
            (
                LiquidationTerms(slice_share=0),
                LiquidationTerms(slice_share=10**6 + 1),
                LiquidationTerms(whole_up_to=-1),
                LiquidationTerms(fee=LIQUIDATION_FEE_MAX + 1),
                LiquidationTerms(surplus_share=10**6 + 1),
                LiquidationTerms(spread=-1),
                LiquidationTerms(urgency=0),
            ),
        ),
        (
            "funding",
            (
                FundingTerms(),
                FundingTerms(0, 0, 0, 0, 0, 0),
                FundingTerms(
                    INTEREST_MAX, INTEREST_MAX, RATE_CAP_MAX, MARGIN_FACTOR_MAX, VELOCITY_MAX, 10**6
                ),
                FundingTerms(interest=-INTEREST_MAX),
                FundingTerms(interest=5, cap=5),
            ),
            (
                FundingTerms(interest=INTEREST_MAX + 1),
                FundingTerms(interest=-INTEREST_MAX - 1),
                FundingTerms(interest=6, cap=5),
                FundingTerms(interest_clamp=INTEREST_MAX + 1),
                FundingTerms(interest_clamp=-1),
                FundingTerms(cap=RATE_CAP_MAX + 1),
                FundingTerms(margin_factor=MARGIN_FACTOR_MAX + 1),
                FundingTerms(margin_factor=-1),
                FundingTerms(velocity=VELOCITY_MAX + 1),
                FundingTerms(velocity=-1),
                FundingTerms(treasury_share=10**6 + 1),
                FundingTerms(treasury_share=-1),
            ),
        ),
    ],
)
def test_each_limit_at_its_edges(name, inside, outside):
    assert [flaw(replace(LIMITS, **{name: value})) for value in inside] == [""] * len(inside)
    assert all(flaw(replace(LIMITS, **{name: value})) for value in outside)


@pytest.mark.parametrize("leverage", [1, 20, 50, LEVERAGE_MAX])
@pytest.mark.parametrize("share", [MAINTENANCE_MIN, MAINTENANCE_MAX])
def test_whatever_maintenance_is_taken_somebody_is_liquidated_and_the_mark_can_move(leverage, share):
    initial = -(-1_000_000 // leverage)
    terms = MarginTerms((Tier(0, initial),), maintenance_share=share)
    assert flaw(replace(LIMITS, max_leverage=leverage, margin=terms)) == ""
    maintenance = maintenance_fraction(initial, share)
    assert maintenance > 0
    assert basis_bound(10**6, MarkTerms(), initial, maintenance) > 0
    assert rate_cap(FundingTerms(), initial, maintenance) > 0


@pytest.mark.parametrize("market", DEFAULT_MARKETS, ids=lambda market: market.symbol)
@pytest.mark.parametrize("share", [MAINTENANCE_MIN, 500_000, MAINTENANCE_MAX])
@given(lots=st.integers(1, 10**6), index=st.integers(10_000, 10**6))
def test_no_hour_of_funding_liquidates_who_has_just_opened_at_the_highest_terms_allowed(
    market, share, lots, index
):
    terms = replace(
        market.margin_terms, open_interest_lower=0, open_interest_upper=0, maintenance_share=share
    )
    highest = FundingTerms(INTEREST_MAX, INTEREST_MAX, RATE_CAP_MAX, MARGIN_FACTOR_MAX, VELOCITY_MAX)
    assert flaw(replace(limits_of(market), margin=terms, funding=highest)) == ""
    (first, *_) = made = steps(terms, 0)
    rate = hourly_rate(rate_cap(highest, first.initial, first.maintenance))
    value = index * market.value_per_tick_lot
    mark = RiskMark.of(made, value)
    left = mark.initial_of(lots) - payment(lots, charge_per_lot(value, rate))
    assert left >= mark.maintenance_of(lots)


def test_records_from_before_some_terms_could_change_leave_them():
    market = replace(
        DEFAULT_MARKETS[0],
        liquidation=LiquidationTerms(fee=1),
        funding=FundingTerms(interest=0),
        index_max_age=AGE_MIN,
        greedy_deleveraging=True,
    )
    old = msgspec.to_builtins(replace(LIMITS, position_cap=7))[:8]
    changed = with_limits(market, msgspec.convert(old, MarketLimits))
    assert changed == replace(market, position_cap=7, margin=None)


def test_other_limits_leave_what_gives_positions_their_meaning():
    market = DEFAULT_MARKETS[0]
    other = with_limits(market, replace(LIMITS, position_cap=7))
    assert replace(other, margin=market.margin, position_cap=market.position_cap) == market
    assert limits_of(other) == replace(LIMITS, position_cap=7)
