"""One observed price, in integers, and its exact conversion to a market's ticks."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from core.quantities import MILLION, Nanos, Ticks, divide_up

EXPONENT_LIMIT: Final = 30
"""Largest absolute exponent: no price needs more, and a larger one would only cost memory."""
ONE: Final = 10**EXPONENT_LIMIT
"""A dollar as `Price.exact` has it."""
DOLLARS_MAX: Final = 10**9
"""What costs more for one unit is no price but a slip of the scale, or a lie; below, all ticks are in the engine's range."""


@dataclass(frozen=True, slots=True)
class Price:
    """`value * 10**exponent` US dollars for one whole unit of the market's asset.

    `confidence` is the half-width of the source's own uncertainty, in the scale of `value`; 0 where a source states none.
    `published_at` is the source's time, in nanoseconds since the epoch. Raises `ValueError` for a negative confidence or an
    exponent beyond 30: sources check what they read before they make a price of it.
    """

    symbol: str
    value: int
    exponent: int
    confidence: int
    published_at: Nanos
    source: str

    def __post_init__(self) -> None:
        if abs(self.exponent) > EXPONENT_LIMIT or self.confidence < 0:
            raise ValueError(f"no price: exponent {self.exponent}, confidence {self.confidence}")

    @property
    def exact(self) -> int:
        """The price in ``10**-30`` dollars, where any two prices compare without rounding."""
        return int(self.value * 10 ** (self.exponent + EXPONENT_LIMIT))

    def less_certain_than(self, ppm: int) -> bool:
        """Whether the confidence is more than `ppm` millionths of the value. Exact. A price of zero is never certain."""
        return self.value <= 0 or self.confidence * MILLION > ppm * self.value


@lru_cache(maxsize=256)
def _ratio(exponent: int, tick: str) -> tuple[int, int]:
    """One unit of the price's scale in ticks, as numerator and denominator."""
    up, down = Decimal(tick).as_integer_ratio()
    if up <= 0:
        raise ValueError(f"a tick is positive, not {tick}")
    return 10 ** max(exponent, 0) * down, 10 ** max(-exponent, 0) * up


def to_ticks(price: Price, tick: str) -> Ticks:
    """The price in ticks of the size `tick` (a decimal string such as ``"0.1"``), rounded to nearest, halves up."""
    up, down = _ratio(price.exponent, tick)
    return Ticks((2 * price.value * up + down) // (2 * down))


def confidence_ticks(price: Price, tick: str) -> Ticks:
    """The confidence in ticks, rounded up: a doubt is never made smaller."""
    up, down = _ratio(price.exponent, tick)
    return Ticks(divide_up(price.confidence * up, down))


def micro_usd(ticks: int, tick: str) -> int:
    """A number of ticks in micro-USD, rounded down, at least one."""
    up, down = _ratio(-6, tick)
    return max(1, ticks * down // up)
