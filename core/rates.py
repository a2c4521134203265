"""Rates finer than a part per million, and division towards zero.

Premiums and funding rates need ten decimals, so a `Rate` counts parts of 10**12. A share in parts per million times a million is a
`Rate`; the product of two shares in parts per million is one already.
"""

from decimal import Decimal
from typing import Final, NewType

Rate = NewType("Rate", int)
"""A signed rate in parts of 10**12."""

RATE_ONE: Final = 10**12
"""The rate of 100 %."""
PERCENT: Final = RATE_ONE // 100
RATE_UNIT: Final = Decimal("1E-12")


def divide_to_zero(numerator: int, denominator: int) -> int:
    """Quotient rounded towards zero, so that a rule treats both signs alike. `denominator` must be positive."""
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def clamp(value: int, limit: int) -> int:
    """`value` held between `-limit` and `limit`. `limit` must not be negative."""
    return max(-limit, min(limit, value))
