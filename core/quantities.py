"""Units of money, price, size and time, and the divisions between them.

Every quantity is an `int`; the `NewType`s keep units apart where signatures meet. Every division here names its rounding:
payers round up, receivers round down.
"""

from decimal import Decimal, InvalidOperation
from typing import Final, NewType

MicroUsdc = NewType("MicroUsdc", int)
"""USDC in millionths, as on chain; signed."""
Ticks = NewType("Ticks", int)
"""A price in a market's ticks."""
Lots = NewType("Lots", int)
"""A size in a market's lots; positive is long, negative is short."""
Ppm = NewType("Ppm", int)
"""A rate in parts per million."""
Nanos = NewType("Nanos", int)
"""Nanoseconds: an instant since the Unix epoch, or a duration."""
AccountId = NewType("AccountId", int)
MarketId = NewType("MarketId", int)

MILLION: Final = 1_000_000
SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

MONEY_MAX: Final = (1 << 62) - 1
"""Largest amount any single command may carry: sums of many still fit a signed 64-bit column."""


def divide_up(numerator: int, denominator: int) -> int:
    """Quotient rounded towards plus infinity. `denominator` must be positive."""
    return -(-numerator // denominator)


def share_up(amount: int, rate: int) -> int:
    """`amount * rate` parts per million, rounded up: what a payer owes. `amount` must not be negative."""
    return -(-amount * rate // MILLION)


def share_down(amount: int, rate: int) -> int:
    """`amount * rate` parts per million, rounded down: what a receiver gets. `amount` must not be negative."""
    return amount * rate // MILLION


class NotAQuantity(ValueError):
    """A decimal string that is no exact, finite multiple of its unit."""


def units_from_decimal(text: str, unit: Decimal) -> int:
    """Exact number of `unit`s in a decimal string such as ``"60000.5"``.

    Raises `NotAQuantity` for anything but a finite plain decimal that is a whole multiple of `unit`: nothing is rounded on
    the way in, because the caller would not know.
    """
    if len(text) > 40 or not text.isascii():
        raise NotAQuantity("not a decimal number of at most 40 characters")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise NotAQuantity("not a decimal number") from None
    if not value.is_finite() or abs(value.adjusted()) > 30:
        raise NotAQuantity("not a finite decimal number in range")
    numerator, denominator = value.as_integer_ratio()
    of, per = unit.as_integer_ratio()
    # In integers: a quotient of decimals would be rounded to the context's digits.
    units, rest = divmod(numerator * per, denominator * of)
    if rest:
        raise NotAQuantity(f"not a multiple of {unit}")
    return units


def decimal_from_units(units: int, unit: Decimal) -> str:
    """Exact decimal string of `units` times `unit`, without exponent."""
    return format(Decimal(units) * unit, "f")


USDC_UNIT: Final = Decimal("0.000001")
