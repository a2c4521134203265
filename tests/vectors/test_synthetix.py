"""Synthetix v3's known answers through this project's rules."""

from decimal import Decimal
from fractions import Fraction

from core.account_risk import RiskMark, account_risk
from core.funding import HOUR, charge_per_lot, payment, skew_drift
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position
from core.quantities import MILLION
from core.rates import RATE_ONE

FILE = "synthetix-v3-perps.json"


def entry_cost(position):
    """Micro-USDC: Synthetix fills at the mean of the skew's premium before and after, the skew being nothing before."""
    size, price = position["size"], position["open_index_price"]
    return int(price * (1 + Fraction(size, 2 * position["skew_scale"])) * size * MILLION)


def available_margin(inputs, expected):
    """Lots of one unit. Its ratios grow with size, so equity is compared exactly, and the predicate at our 20x."""
    marks, positions = {}, {}
    for number, (position, price) in enumerate(
        zip(inputs["positions"], inputs["index_prices"], strict=True), 1
    ):
        terms = MarginTerms((Tier(0, 50_000),))
        marks[number] = RiskMark.of(steps(terms, 0), int(Decimal(price) * MILLION))
        positions[number] = Position(position["size"], entry_cost(position))
        gained = account_risk(0, {number: positions[number]}, marks).equity
        assert gained == expected["pnl"][position["market"]] * MILLION
    risk = account_risk(inputs["collateral_usd"] * MILLION, positions, marks)
    assert risk.equity == expected["available_margin"] * MILLION
    assert risk.liquidatable is expected["can_liquidate"]


def funding_velocity(inputs, expected):
    """Rates of a day instead of eight hours: the rule does not know the difference. Velocity is per hour here, per day there."""
    rate, skew, paid = 0, inputs["initial_skew"], 0
    velocity = inputs["max_funding_velocity"] * RATE_ONE // 24
    for step in inputs["steps"]:
        days = Fraction(step["days_elapsed"])
        drift = skew_drift(rate, skew, inputs["skew_scale"], velocity, int(days * 24 * HOUR), RATE_ONE)
        charge = charge_per_lot(inputs["price"] * MILLION, int(drift.mean * days))
        paid += payment(inputs["position_size"], charge)
        rate = drift.after
        skew += step["skew_change"]
    assert rate == Decimal(expected["funding_rate_per_day"]) * RATE_ONE
    assert paid == Decimal(expected["accrued_funding_paid"]) * MILLION


RUNS = {
    "unrealised pnl and available margin": available_margin,
    "funding velocity": funding_velocity,
}
EXCEPTIONS: dict[str, str] = {}


def test_vector(vector):
    RUNS[vector["category"]](vector["inputs"], vector["expected"])


def test_every_vector_is_run(vectors):
    assert {vector["category"] for vector in vectors} == set(RUNS)
