"""Rates of an hour from what was seen in it, and the example of the documentation."""

from hypothesis import given
from hypothesis import strategies as st

from core.funding import HOUR, FundingTerms, charge_per_lot, funding_run
from core.funding_events import FundingSettled, headline, paid_by, part_of
from core.funding_hour import (
    SAMPLE_EVERY,
    Basis,
    Seen,
    cap_of,
    explained,
    hour_of,
    hour_rates,
    sampled_at,
    stood_long,
)
from core.margin_terms import MarginTerms, Tier
from core.rates import PERCENT

TERMS = FundingTerms()
MARGIN = MarginTerms((Tier(0, 20_000),))
CAP = cap_of(TERMS, MARGIN)


def seen(**fields):
    return Seen(
        **{"samples": 720, "total": 0, "makers": 2, "skew": 0, "open_interest": 0, "last": 0} | fields
    )


def test_the_example_of_the_documentation():
    rates = hour_rates(TERMS, CAP, seen(total=720 * PERCENT // 10))
    assert (rates.basis, rates.rate, rates.hourly) == (Basis.PREMIUM, PERCENT // 20, 62_500_000)
    charge = charge_per_lot(6_000_000, rates.hourly)
    assert charge == 375_000_000
    alice, bob, carol = 16, 17, 18
    run = funding_run([(alice, 20_000), (bob, -15_000), (carol, -5_000)], charge, {bob}, TERMS.treasury_share)
    assert run.payments == [(alice, 7_500_000), (bob, -5_062_500), (carol, -1_875_000)]
    assert (run.treasury, run.insurance) == (562_500, 0)


def test_an_instant_belongs_to_the_hour_that_ends_after_it():
    assert hour_of(0) == hour_of(HOUR - 1) == 1
    assert hour_of(HOUR) == 2
    assert SAMPLE_EVERY * 720 == HOUR


def test_fewer_than_two_owners_leave_the_rate_to_the_skew():
    skewed = hour_rates(
        TERMS, CAP, seen(total=720 * PERCENT, makers=1, skew=-50, open_interest=100, last=PERCENT)
    )
    half = TERMS.velocity // 2
    assert (skewed.basis, skewed.premium) == (Basis.SKEW, PERCENT)
    assert (skewed.after, skewed.rate) == (PERCENT - half, PERCENT - half // 2)
    assert skewed.hourly == skewed.rate // 8


def test_an_owner_stands_in_an_hour_when_it_stood_in_half_of_its_samples():
    assert stood_long(360, 720)
    assert stood_long(4, 7)
    assert not stood_long(359, 720)
    assert not stood_long(3, 7)
    assert not stood_long(0, 0)


@given(st.integers(-1_000, 1_000), st.integers(0, 1_000), st.integers(-1_000, 1_000))
def test_making_explains_no_more_of_a_position_than_was_quoted_and_filled_its_way(net, quoted, filled):
    part = explained(net, quoted, filled)
    way = 1 if net > 0 else -1
    assert 0 <= way * part <= abs(net)
    assert way * part == min(abs(net), quoted + max(0, way * filled))


def test_an_hour_without_a_premium_pays_nothing_and_leaves_the_rate():
    rates = hour_rates(TERMS, CAP, seen(samples=0, makers=0, skew=100, open_interest=100, last=777))
    assert (rates.basis, rates.rate, rates.hourly, rates.after) == (Basis.NOTHING, 0, 0, 777)


def test_a_prediction_counts_only_what_was_due():
    total = 10 * PERCENT
    assert hour_rates(TERMS, CAP, seen(samples=10, total=total), 10).premium == PERCENT
    assert hour_rates(TERMS, CAP, seen(samples=10, total=total), 20).premium == PERCENT // 2


@given(
    st.builds(
        Seen,
        samples=st.integers(0, 730),
        total=st.integers(-(10**16), 10**16),
        makers=st.integers(0, 4),
        skew=st.integers(-1_000, 1_000),
        open_interest=st.integers(0, 1_000),
        last=st.integers(-CAP, CAP),
    )
)
def test_no_rate_is_beyond_the_cap(hour):
    rates = hour_rates(TERMS, CAP, hour)
    assert max(abs(rates.rate), abs(rates.after)) <= CAP
    assert abs(rates.hourly) <= CAP // 8


def test_an_account_s_part_of_the_record():
    record = FundingSettled(
        1, 1, 9, 1, 720, 0, 2, 0, 5, 8, 1, 8, 1, 3, 31, 3, 1, ((2, -1), (16, 31), (40, -26))
    )
    assert [paid_by(record, account) for account in (1, 2, 15, 16, 17, 40, 41)] == [0, -1, 0, 31, 0, -26, 0]
    assert part_of(record, 40).payments == ((40, -26),)
    assert paid_by(part_of(record, 40), 40) == -26
    assert headline(record).payments == ()


@given(st.integers(1, 100), st.integers(0, 10**9), st.binary(max_size=64))
def test_a_premium_is_sampled_within_its_window(market, window, secret):
    assert sampled_at(market, window, secret) // SAMPLE_EVERY == window


def test_the_instants_of_a_window_depend_on_the_secret_and_spread_over_it():
    drawn = [sampled_at(1, 7, bytes([number])) - 7 * SAMPLE_EVERY for number in range(256)]
    tenths = [sum(at * 10 // SAMPLE_EVERY == tenth for at in drawn) for tenth in range(10)]
    assert len(set(drawn)) == 256
    assert min(tenths) >= 10
    assert sampled_at(1, 7, b"") != sampled_at(2, 7, b"")
