"""Drift v2's known answers through this project's rules: money in micro-USDC, base in 10**-9, prices and fees in millionths."""

from core.funding import eight_hour_rate, hourly_rate
from core.liquidation import Closing, lots_to_cover
from core.premium import PremiumRule, premium
from core.quantities import MILLION
from core.rates import RATE_ONE

FILE = "drift-protocol-v2.json"
BASE = 10**9
DIVERGENCE = {"highly speculative/default": 10, "B": 33}


def liquidation_size(inputs, expected):
    """A lot is a thousandth of a base unit; prices of the quote asset divide. Drift rounds down what here is rounded up."""
    scale, unit = BASE, inputs["quote_oracle_price"]
    fees = inputs["liquidation_fee"] + inputs["if_liquidation_fee"]
    shortage = inputs["margin_shortage"] * scale * MILLION
    found = lots_to_cover(shortage, inputs["oracle_price"] * unit, inputs["margin_ratio"] * 100, fees)
    assert expected["base_asset_amount"] <= found <= expected["base_asset_amount"] + 1


def insurance_fee(inputs, expected):
    """The whole position goes to the liquidator for the mark less his fee; the account's equity follows from the shortage."""
    value = inputs["base_asset_amount"] * inputs["oracle_price"] // BASE
    maintenance = value * inputs["margin_ratio"] // 10_000
    part = Closing(1, value, maintenance, maintenance - inputs["margin_shortage"], max(1, maintenance))
    brought = value - value * inputs["liquidator_fee"] // MILLION
    paid = max(0, part.insurance_delta(brought, inputs["max_if_fee"], 950_000))
    assert paid == value * expected["if_fee"] // MILLION


def premium_of(mark, oracle, limit):
    return premium(oracle, mark * MILLION, mark * MILLION, limit, PremiumRule.MIDDLE)


def funding_rate(inputs, expected):
    """Drift's rate is money per base unit; it cuts its clamp to a millionth of a USD first, so one such unit may differ."""
    oracle = inputs["oracle_twap"]
    found = hourly_rate(
        eight_hour_rate(premium_of(inputs["mark_twap"], oracle, RATE_ONE // 33), 0, 0, RATE_ONE), 24
    )
    assert abs(found * oracle * 1_000 / RATE_ONE - expected["funding_rate"]) <= 1_000 / 24


def funding_clamp(inputs, expected):
    oracle = inputs["oracle_twap"]
    found = premium_of(2 * oracle, oracle, RATE_ONE // DIVERGENCE[inputs["tier"]])
    assert found * oracle // RATE_ONE == expected["max_divergence"]


RUNS = {
    "liquidation size": liquidation_size,
    "insurance fee": insurance_fee,
    "funding rate": funding_rate,
    "funding clamp": funding_clamp,
}

SPOT = "exchanges a borrowed token for a collateral token; nothing is borrowed here"
EXCEPTIONS = {
    "drift:liability_transfer_to_cover_shortage:ten_percent_asset_and_liability_fee": SPOT,
    "drift:liability_transfer_to_cover_shortage:zero_fee_with_one_percent_if_fee": SPOT,
    "drift:liability_implied_by_asset:zero": SPOT,
    "drift:liability_implied_by_asset:one_percent": SPOT,
    "drift:asset_for_liability:one_percent": SPOT,
    "drift:asset_for_liability:same_decimals": SPOT,
    "drift:asset_for_liability:liability_decimals_less": SPOT,
    "liquidation swap bound": SPOT,
    "liquidation fee": "pays liquidators more the longer they wait; here makers bid, and the price bound widens with the shortage",
    "socialised loss": "spreads a loss over all positions; here it goes to the insurance fund, then to deleveraging",
    "funding cap by fee pool": "caps what an automated pool pays; here every position has another one opposite",
    "insurance share rebase": "counts shares of stakers; the insurance fund here has none",
    "insurance shares lost": "counts shares of stakers; the insurance fund here has none",
}


def test_vector(vector):
    RUNS[vector["category"]](vector["inputs"], vector["expected"])


def test_every_vector_is_run_or_listed_with_a_reason(vectors):
    known = {vector["category"] for vector in vectors} | {vector["id"] for vector in vectors}
    assert set(EXCEPTIONS) <= known
    assert all(
        vector["category"] in RUNS or vector["category"] in EXCEPTIONS or vector["id"] in EXCEPTIONS
        for vector in vectors
    )
