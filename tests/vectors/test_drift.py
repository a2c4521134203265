"""Drift v2's known answers through this project's rules: money in micro-USDC, base in 10**-9, prices and fees in millionths."""

from core.funding import eight_hour_rate, hourly_rate
from core.liquidation import Closing
from core.premium import PremiumRule, premium
from core.quantities import MILLION
from core.rates import RATE_ONE

FILE = "drift-protocol-v2.json"
BASE = 10**9
DIVERGENCE = {"highly speculative/default": 10, "B": 33}


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
    "insurance fee": insurance_fee,
    "funding rate": funding_rate,
    "funding clamp": funding_clamp,
}

SPOT = "exchanges a borrowed token for a collateral token; nothing is borrowed here"
EXCEPTIONS = {
    "liquidation size": "closes what covers the shortage, of perps or of borrowed tokens; here a fixed slice at a time is closed",
    "liquidation swap bound": SPOT,
    "liquidation fee": "pays liquidators more the longer they wait; here makers bid, and the price bound widens with the shortage",
    "socialised loss": "by lots over a market's positions; here by what each can give (debts) or gained (delisting)",
    "funding cap by fee pool": "caps what an automated pool pays; here every position has another one opposite",
    "insurance share rebase": "counts shares of stakers; the insurance fund here has none",
    "insurance shares lost": "counts shares of stakers; the insurance fund here has none",
}


def test_vector(vector):
    RUNS[vector["category"]](vector["inputs"], vector["expected"])


def test_every_vector_is_run_or_listed_with_a_reason(vectors):
    assert {vector["category"] for vector in vectors} == set(RUNS) | set(EXCEPTIONS)
    assert set(RUNS).isdisjoint(EXCEPTIONS)
