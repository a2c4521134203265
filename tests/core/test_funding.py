"""Premiums, rates and payments of funding."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.account_risk import AccountRisk, RiskMark
from core.funding import (
    HOUR,
    Drift,
    FundingTerms,
    charge_per_lot,
    eight_hour_rate,
    funding_run,
    hourly_rate,
    margin_cap,
    mean_premium,
    payment,
    rate_cap,
    skew_drift,
)
from core.margin_terms import MarginTerms, Tier, maintenance_fraction, steps
from core.premium import PremiumRule, impact_notional, impact_price, premium
from core.rates import PERCENT, RATE_ONE

TERMS = FundingTerms()
MILLION = 1_000_000
rates = st.integers(-(10**13), 10**13)


def test_impact_prices_average_what_the_trade_would_walk_through():
    levels = [(100, 10), (90, 100)]
    assert impact_price(levels, 1, 1_000, ask=False) == 100 * MILLION
    # 1,000 at 100 and 900 at 90 are 20 lots for 1,900.
    assert impact_price(levels, 1, 1_900, ask=False) == 95 * MILLION
    assert impact_price(levels, 1, 1_901, ask=False) == 94_997_223
    assert impact_price(levels, 1, 1_901, ask=True) == 94_997_224
    assert impact_price(levels, 1, 10_000, ask=False) == 90_909_090
    assert impact_price(levels, 1, 10_001, ask=False) is None
    assert impact_price([], 1, 1, ask=True) is None
    assert impact_notional(50_000) == 10_000 * MILLION


def test_a_premium_is_only_what_lies_beyond_the_impact_prices():
    assert premium(100, 101 * MILLION, 103 * MILLION, RATE_ONE) == PERCENT
    assert premium(100, 97 * MILLION, 99 * MILLION, RATE_ONE) == -PERCENT
    assert premium(100, 90 * MILLION, 110 * MILLION, RATE_ONE) == 0
    assert premium(100, None, None, RATE_ONE) == 0
    assert premium(100, 200 * MILLION, None, 32 * PERCENT) == 32 * PERCENT
    assert premium(100, None, 1, 32 * PERCENT) == -32 * PERCENT
    assert premium(3, 3 * MILLION + 1, None, RATE_ONE) == 333_333
    assert premium(3, None, 3 * MILLION - 1, RATE_ONE) == -333_333


def test_the_middle_rule_needs_both_impact_prices():
    assert premium(100, 90 * MILLION, 112 * MILLION, RATE_ONE, PremiumRule.MIDDLE) == PERCENT
    assert premium(100, None, 112 * MILLION, RATE_ONE, PremiumRule.MIDDLE) == 0


def test_the_rate_is_the_premium_pulled_to_the_interest():
    interest, clamp, cap = TERMS.interest, TERMS.interest_clamp, TERMS.cap
    assert eight_hour_rate(0, interest, clamp, cap) == PERCENT // 100
    assert eight_hour_rate(PERCENT // 50, interest, clamp, cap) == PERCENT // 100
    assert eight_hour_rate(PERCENT, interest, clamp, cap) == PERCENT - PERCENT // 20
    assert eight_hour_rate(-PERCENT, interest, clamp, cap) == -PERCENT + PERCENT // 20
    assert hourly_rate(eight_hour_rate(100 * PERCENT, interest, clamp, cap)) == 4 * PERCENT
    assert hourly_rate(eight_hour_rate(-100 * PERCENT, interest, clamp, cap)) == -4 * PERCENT
    assert hourly_rate(-15) == -1


def test_missing_premiums_count_as_none():
    assert mean_premium(720_000, 720) == 1_000
    assert mean_premium(10_000, 10) == 13
    assert mean_premium(-10_000, 10) == -13
    assert mean_premium(1_440_000, 1_440) == 1_000


def test_highly_leveraged_markets_have_a_lower_cap():
    assert margin_cap(TERMS.margin_factor, 20_000, 10_000) == 6 * PERCENT
    assert rate_cap(TERMS, 20_000, 10_000) == 6 * PERCENT
    assert rate_cap(TERMS, 333_334, 166_667) == 32 * PERCENT


@given(st.integers(2_000, MILLION), st.integers(1, 10**6), st.integers(1, 10**6), rates)
def test_one_hour_of_funding_never_takes_an_account_from_initial_to_liquidation(initial, size, value, found):
    maintenance = maintenance_fraction(initial)
    rate = eight_hour_rate(found, TERMS.interest, TERMS.interest_clamp, rate_cap(TERMS, initial, maintenance))
    mark = RiskMark.of(steps(MarginTerms((Tier(0, initial),)), 0), value)
    paid = payment(size, charge_per_lot(value, hourly_rate(rate)))
    least = mark.initial_of(size)
    assume(least >= 100)  # below that the roundings up are more than the requirement
    assert not AccountRisk(least - paid, least, mark.maintenance_of(size), 0).liquidatable


def test_the_rate_drifts_to_whoever_dominates_and_pays_its_mean():
    assert skew_drift(100, 50, 100, 1_000, HOUR, RATE_ONE) == Drift(600, 350)
    assert skew_drift(100, -50, 100, 1_000, HOUR, RATE_ONE) == Drift(-400, -150)
    assert skew_drift(0, 500, 100, 1_000, HOUR, RATE_ONE) == Drift(1_000, 500)
    assert skew_drift(0, 100, 100, 1_000, HOUR // 2, RATE_ONE) == Drift(500, 250)
    assert skew_drift(900, 100, 100, 1_000, HOUR, 1_000) == Drift(1_000, 950)
    assert skew_drift(77, 0, 0, 1_000, HOUR, RATE_ONE) == Drift(77, 77)


def test_payers_round_up_and_receivers_down():
    assert payment(3, 500_000) == 2
    assert payment(-3, 500_000) == -1
    assert payment(3, -500_000) == -1
    assert payment(0, 500_000) == 0
    assert charge_per_lot(1_500_000, 3) == 4
    assert charge_per_lot(1_500_000, -3) == -4


def test_a_maker_shares_what_it_receives_with_the_treasury():
    run = funding_run([(16, 10), (17, -4), (18, -6)], 1_500_000, {17}, 100_000)
    assert run.payments == [(16, 15), (17, -5), (18, -9)]
    assert (run.treasury, run.insurance) == (1, 0)
    paying = funding_run([(16, 10), (17, -10)], -1_500_000, {16}, 0)
    assert paying.payments == [(16, -15), (17, 15)]


@st.composite
def markets(draw):
    sizes = draw(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30))
    sizes.append(-sum(sizes))
    makers = draw(st.sets(st.integers(0, len(sizes))))
    return list(enumerate(sizes)), makers


@given(markets(), st.integers(-(10**15), 10**15), st.integers(0, MILLION))
def test_funding_sums_to_zero_with_treasury_and_rounding(market, charge, share):
    positions, makers = market
    run = funding_run(positions, charge, makers, share)
    assert sum(amount for _, amount in run.payments) == run.treasury + run.insurance
    assert 0 <= run.insurance < len(positions)
    assert run.treasury >= 0
    payments = dict(run.payments)
    assert 0 not in payments.values()
    assert list(payments) == [account for account, _ in positions if account in payments]
    assert run.charged == sum(amount for amount in payments.values() if amount > 0)
    for account, size in positions:
        amount = payments.get(account, 0)
        if account not in makers or size * charge >= 0:
            assert amount == payment(size, charge)
        else:
            assert payment(size, charge) <= amount <= 0


def test_makers_receive_ninety_parts_of_a_hundred():
    run = funding_run([(16, 1_000), (17, -1_000)], MILLION, {17}, TERMS.treasury_share)
    assert run.payments == [(16, 1_000), (17, -900)]
    assert run.treasury == 100


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_holds_whatever_the_quotes_say(limit):
    assert abs(premium(1, 10**18, 10**18, limit)) == limit
