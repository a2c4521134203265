"""A market's margin parameters: what it was listed with, and what holds for markets listed without."""

import msgspec

from core.margin_terms import MarginTerms, Tier
from core.market import DEFAULT_MARKETS, Market, market, millions


def test_a_market_listed_before_margin_had_terms_keeps_its_highest_leverage_at_every_size():
    old = market(1, "X", "0.1", "0.0001", max_leverage=3, position_cap="1", open_interest_cap="1", feed="")
    record = msgspec.to_builtins(old)[:-1]
    assert msgspec.convert(record, Market) == old
    assert old.margin_terms == MarginTerms((Tier(0, 333_334),), 0, 0, 500_000)


def test_every_default_market_starts_at_its_highest_leverage():
    for listed in DEFAULT_MARKETS:
        assert listed.margin is not None
        assert listed.margin.tiers[0].initial == listed.initial_fraction
        assert listed.margin.open_interest_lower < listed.margin.open_interest_upper


def test_terms_in_millions_of_usdc_are_exact():
    assert millions({0: 50, 5: 3}, (200, 600)) == MarginTerms(
        (Tier(0, 20_000), Tier(5 * 10**12, 333_334)), 200 * 10**12, 600 * 10**12
    )
