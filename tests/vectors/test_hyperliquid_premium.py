"""Recorded Hyperliquid premiums from their impact prices, through this project's rules."""

from decimal import Decimal

from core.premium import PremiumRule, premium
from core.quantities import MILLION
from core.rates import RATE_ONE

FILE = "hyperliquid-premium-from-impact.json"
EXCEPTIONS: dict[str, str] = {}
RULES = {"standard": PremiumRule.BEYOND_IMPACT, "hip3": PremiumRule.MIDDLE}
TICKS = 10**8
"""A tick of 10**-8 USD holds every recorded price."""


def ticks(text):
    value = Decimal(text) * TICKS
    assert value == value.to_integral_value()
    return int(value)


def test_vector(vector):
    inputs = vector["inputs"]
    bid, ask = (ticks(inputs[name]) * MILLION for name in ("impactBidPx", "impactAskPx"))
    found = premium(ticks(inputs["oraclePx"]), bid, ask, RATE_ONE, RULES[vector["rule"]])
    assert abs(found - Decimal(vector["expected"]["premium"]) * RATE_ONE) <= 100  # the venue's tenth decimal


def test_every_vector_is_run(vectors):
    assert {vector["rule"] for vector in vectors} == set(RULES)
