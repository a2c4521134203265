"""The book that gold is traded in at `mock_gold`: made of a seed and a middle, the same for whoever asks."""

import hashlib
from typing import Final, NamedTuple

from core.market import Side
from core.quantities import divide_up
from core.tickets import E8, PriceE8, SizeE8

TICK: Final = E8 // 100
"""Prices are whole cents."""
LOT: Final = E8 // 1000
"""Sizes are whole thousandths of an ounce."""
LEVELS: Final = 8
SPREAD: Final = 10 * TICK


class Level(NamedTuple):
    price: PriceE8
    size: SizeE8


def book(seed: int, mid: PriceE8, side: Side) -> list[Level]:
    """What an order of that side can take around a middle, best first: eight levels of 0.5 to 4.5 ounces, by the seed."""
    levels = []
    for number in range(LEVELS):
        digest = hashlib.blake2b(f"{seed}:{side.name}:{number}".encode(), digest_size=8).digest()
        size = SizeE8(E8 // 2 + int.from_bytes(digest, "big") % 4001 * LOT)
        away = SPREAD // 2 + number * SPREAD
        # Whole cents away from the middle: nobody buys below the price or sells above it.
        price = divide_up(mid + away, TICK) * TICK if side is Side.BUY else (mid - away) // TICK * TICK
        levels.append(Level(PriceE8(price), size))
    return levels


def taken(levels: list[Level], side: Side, size: SizeE8, limit: PriceE8) -> list[Level]:
    """What an order gets of a book, best first, at its limit or better."""
    found, left = [], size
    for level in levels:
        if left == 0 or side * (level.price - limit) > 0:
            break
        found.append(Level(level.price, SizeE8(min(left, level.size))))
        left = SizeE8(left - found[-1].size)
    return found
