"""A recorded Hyperliquid account through this project's rules: unrealized profit, margin and liquidation prices."""

from decimal import Decimal

from core.account_risk import RiskMark, account_risk
from core.edge_prices import liquidation_price
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position
from core.quantities import MILLION

FILE = "hyperliquid-clearinghouse-state.json"
EXCEPTIONS: dict[str, str] = {}

LOTS = 10**5
"""Sizes have at most five decimals."""
PRICE = 10**8
"""Prices are compared to eight decimals of a USD."""
MONEY = LOTS * PRICE
"""Units of money in a USD: one tick of one lot is one of them."""


def position_of(inputs):
    """Lots, and the value of one in units of money: the venue states the value of the whole."""
    size = int(Decimal(inputs["szi"]) * LOTS)
    value = Decimal(inputs["positionValue"]) * MONEY / abs(size)
    assert value == value.to_integral_value()
    return size, int(value)


def mark_at(leverage, value):
    return RiskMark.of(steps(MarginTerms((Tier(0, MILLION // leverage),)), 0), value)


def test_vector(vector):
    inputs, expected = vector["inputs"], vector["expected"]
    size, value = position_of(inputs)
    mark = mark_at(inputs["leverage"], value)
    cost = Decimal(inputs["entryPx"]) * size * MONEY / LOTS
    risk = account_risk(0, {1: Position(size, int(cost))}, {1: mark})
    # The venue rounds the entry price it shows: half of its last digit times the size.
    digit = Decimal(1).scaleb(Decimal(inputs["entryPx"]).as_tuple().exponent)
    shown = abs(size) * digit / 2 / LOTS + Decimal("0.000001")
    assert abs(Decimal(risk.equity) / MONEY - Decimal(expected["unrealizedPnl"])) <= shown
    assert abs(Decimal(risk.initial) / MONEY - Decimal(expected["marginUsed"])) <= Decimal("0.000001")
    at = liquidation_mark(inputs, size, value)
    if expected["liquidationPx"] is None:
        assert at is None
    else:
        assert abs(at - Decimal(expected["liquidationPx"])) <= Decimal(expected["liquidationPx"]) * Decimal(
            "1e-8"
        )


def liquidation_mark(inputs, size, value):
    """Liquidation price in USD by the venue's rule of that time: maintenance of all, this position's included, stood still."""
    still = steps(MarginTerms((Tier(0, 0),)), 0)
    whole = mark_at(inputs["maxLeverage"], int(Decimal(inputs["totalNtlPos"]) * MONEY))
    equity = int(Decimal(inputs["accountValue"]) * MONEY)
    price = liquidation_price(still, 1, size, value, equity, whole.maintenance_of(1))
    return None if price is None else Decimal(price) / PRICE


def test_every_vector_is_run(vectors):
    assert len(vectors) == 12
