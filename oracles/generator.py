"""Made-up prices: a seeded random walk, the same for the same seed, symbol and step. Whatever shows one says "generated"."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

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


def prices(seed: int, symbol: str, start: int | None = None) -> Iterator[int]:
    """Endless prices of a symbol in micro-USD, one a step, never below one. Changes are rounded towards zero.

    `start` is the first price, for a walk that goes on where an earlier one was left. Raises `KeyError` for a symbol that has no
    first price.
    """
    return _walk(seed, symbol, STARTS[symbol] if start is None else max(1, start))


def _walk(seed: int, symbol: str, price: int) -> Iterator[int]:
    step = 0
    while True:
        yield price
        step += 1
        digest = hashlib.sha256(f"{seed}/{symbol}/{step}".encode()).digest()
        change = int.from_bytes(digest[:4], "big") % (2 * STEP_PPM_MAX + 1) - STEP_PPM_MAX
        moved = abs(price * change) // 1_000_000
        price = max(1, price + (moved if change > 0 else -moved))
