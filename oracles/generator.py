"""Made-up prices: a seeded random walk, the same for the same seed, symbol and step. Whatever shows one says "generated"."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from core.quantities import MILLION, Nanos, Ppm
from oracles.route import MINUTE

SOURCE: Final = "generated"
EXPONENT: Final = -6
"""Generated prices are in micro-USD."""
STARTS: Final[Mapping[str, int]] = {
    "BTC-PERP": 60_000_000_000,
    "ETH-PERP": 3_000_000_000,
    "SOL-PERP": 150_000_000,
}
"""First price of each symbol, in micro-USD."""
STEP_PPM_MAX: Final = 200
"""Largest change from one step to the next, in parts per million of the price."""
LEVELS: Final[Mapping[str, int]] = {"XAU": 4_000_000_000}
"""Around what the prices lie that are made up for instants, in micro-USD."""
WAVES: Final = (
    (Nanos(MINUTE), Ppm(300)),
    (Nanos(60 * MINUTE), Ppm(3_000)),
    (Nanos(24 * 60 * MINUTE), Ppm(15_000)),
)
"""Of such prices: how long after one made-up height comes the next, and how high one may be in parts per million of the level."""


def prices(seed: int, symbol: str, start: int | None = None) -> Iterator[int]:
    """Endless prices of a symbol in micro-USD, one a step, never below one. Changes are rounded towards zero.

    `start` is the first price, for a walk that goes on where an earlier one was left. Raises `KeyError` for a symbol that has no
    first price.
    """
    return _walk(seed, symbol, STARTS[symbol] if start is None else max(1, start))


def price_at(seed: int, symbol: str, instant: Nanos) -> int:
    """The price of a symbol at an instant in micro-USD, rounded down: the same for whoever asks, in whatever process and order.

    A walk is not: it depends on where it began. Raises `KeyError` for a symbol that has no level.
    """
    level = LEVELS[symbol]
    ppm = sum(_height(seed, symbol, instant, length, most) for length, most in WAVES)
    return level + level * ppm // MILLION


def _height(seed: int, symbol: str, instant: int, length: int, most: int) -> int:
    """On the straight line between the heights before and after an instant, in parts per million, rounded down."""
    number, into = divmod(instant, length)
    before, after = (
        _made_up(f"{seed}/{symbol}/{length}/{at}") % (2 * most + 1) - most for at in (number, number + 1)
    )
    return before + (after - before) * into // length


def _walk(seed: int, symbol: str, price: int) -> Iterator[int]:
    step = 0
    while True:
        yield price
        step += 1
        change = _made_up(f"{seed}/{symbol}/{step}") % (2 * STEP_PPM_MAX + 1) - STEP_PPM_MAX
        moved = abs(price * change) // 1_000_000
        price = max(1, price + (moved if change > 0 else -moved))


def _made_up(of: str) -> int:
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4], "big")
