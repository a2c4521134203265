"""Hyperliquid's units: what prices and sizes it takes, how it writes them, and the house's quotes around a price."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from core.market import Side
from core.quantities import NotAQuantity, divide_up
from core.tickets import E8, PriceE8, SizeE8, e8_text, price_from

DECIMALS: Final = 6
"""Decimals of a perp's price and of its size together."""
FIGURES: Final = 5
"""Significant figures of a price; whole numbers may have more."""


@dataclass(frozen=True)
class Asset:
    """A perp. `depth` is what the house quotes at each of `levels` prices on each side, `spread` apart in parts per million.

    `step` between prices is for venues that have one; 0: significant figures and decimals, as at Hyperliquid.
    """

    name: str
    sz_decimals: int
    max_leverage: int
    price: PriceE8
    depth: SizeE8
    levels: int = 10
    spread: int = 100
    step: int = 0

    @property
    def lot(self) -> int:
        """The smallest size, in 1e-8."""
        return E8 // int(10**self.sz_decimals)


def tick(asset: Asset, price: int) -> int:
    """The step between prices near `price`, in 1e-8."""
    if asset.step:
        return asset.step
    figures = len(str(price))
    # The number of digits of an integer in 1e-8 less those kept; whole dollars are always allowed.
    by_figures = min(figures - FIGURES, 8)
    return int(10 ** max(by_figures, 8 - (DECIMALS - asset.sz_decimals), 0))


def is_price(asset: Asset, price: int) -> bool:
    return price > 0 and price % tick(asset, price) == 0


def is_size(asset: Asset, size: int) -> bool:
    return size > 0 and size % asset.lot == 0


def written(value: int) -> str:
    """A price, size or amount in 1e-8 as the venue writes it: never without a decimal."""
    text = e8_text(PriceE8(value))
    return text if "." in text else f"{text}.0"


def read(text: object) -> int | None:
    """A decimal string of a request, or None for what is none. Trailing zeros are the caller's mistake: they change what is signed."""
    if not isinstance(text, str):
        return None
    try:
        value = price_from(text)
    except NotAQuantity:
        return None
    return value if e8_text(value) == text else None


class Level(NamedTuple):
    price: int
    size: int


def house(asset: Asset, price: int, side: Side) -> list[Level]:
    """What an order of that side can take from the house, best first."""
    step = max(tick(asset, price), price * asset.spread // 1_000_000)
    levels = []
    for number in range(1, asset.levels + 1):
        exact = price + side * (step // 2 + (number - 1) * step)
        by = tick(asset, exact)
        # Away from the middle, so that neither side is ever better than it.
        levels.append(Level(divide_up(exact, by) * by if side is Side.BUY else exact // by * by, asset.depth))
    return [level for level in levels if level.price > 0]
