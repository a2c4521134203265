"""Recorded Hyperliquid funding rates from their premiums, through this project's rules."""

from decimal import Decimal

from core.funding import eight_hour_rate, hourly_rate
from core.rates import RATE_ONE

FILE = "hyperliquid-funding-from-premium.json"
EXCEPTIONS: dict[str, str] = {}


def rate(text):
    return int(Decimal(text) * RATE_ONE)


def test_vector(vector):
    inputs = vector["inputs"]
    eight = eight_hour_rate(
        rate(inputs["premium"]), rate(inputs["interest_8h"]), rate(inputs["clamp"]), 32 * RATE_ONE // 100
    )
    found = hourly_rate(eight, inputs["divisor"])
    assert abs(found - rate(vector["expected"]["fundingRate"])) <= rate("5.1e-9")


def test_every_vector_is_run(vectors):
    assert len(vectors) == 238
