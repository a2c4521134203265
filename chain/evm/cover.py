"""How much cash an order for the gold market must bring, and at which price it may be carried out at worst.

The market's own rules (`AdapterMockGold`): a long is paid in full, a short leaves its proceeds and as much again, and who only makes a
position smaller needs nothing. All that need not stay comes back with the order, so too much of it is no loss.
"""

from dataclasses import dataclass
from typing import Final

from core.quantities import MILLION, MicroUsdc, divide_up
from core.tickets import E8, PriceE8, SizeE8

AWAY_PPM: Final = 10_000
"""How far the price may be from that when the batch was made: the feed moves by far less in the minute that a batch takes."""
_PER_MICRO: Final = E8 * E8 // 1_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """A vault's position at the market: cash paid in, less cash paid out, less what was paid for the size."""

    size: SizeE8
    cash: MicroUsdc


@dataclass(frozen=True, slots=True)
class Cover:
    """An order as it goes into a batch; `size` is zero when there was nothing to reduce."""

    size: SizeE8
    limit_price: PriceE8
    cash_in: MicroUsdc


def covered(held: Held, size: SizeE8, limit: PriceE8, price: PriceE8, *, reduce_only: bool) -> Cover:
    """The order with the cash that it needs at any price between its limit and `AWAY_PPM` on the other side of `price`.

    `size` is signed, a `limit` of zero is none. The limit is brought to `AWAY_PPM` of `price` where it is further: cash for more would
    have to lie ready. Cash is rounded up, the limit to the vault's disadvantage by less than 1e-8.
    """
    if reduce_only:
        size = _reducing(held.size, size)
    low, high = (
        PriceE8(price * (MILLION - AWAY_PPM) // MILLION),
        PriceE8(divide_up(price * (MILLION + AWAY_PPM), MILLION)),
    )
    worst = PriceE8(min(limit or high, high) if size > 0 else max(limit, low))
    if size == 0 or _smaller(held.size, size):
        return Cover(size, worst, MicroUsdc(0))
    # What it costs is straight in the price, so the dearest is at one of the ends.
    ends = (worst, low) if size > 0 else (worst, high)
    return Cover(size, worst, MicroUsdc(max(0, *(_missing(held, size, end) for end in ends))))


def _reducing(held: int, size: int) -> SizeE8:
    """As much of an order as brings a position towards zero and not beyond."""
    if held * size >= 0:
        return SizeE8(0)
    return SizeE8(size if abs(size) <= abs(held) else -held)


def _smaller(held: int, size: int) -> bool:
    return held * size < 0 and abs(size) <= abs(held)


def _missing(held: Held, size: int, price: int) -> int:
    """Cash that must come with an order so that enough is left at a price."""
    after = held.size + size
    stays = 2 * _cost(-after, price) if after < 0 else 0
    return stays + _cost(size, price) - held.cash


def _cost(size: int, price: int) -> int:
    """What a size costs, rounded up; of a sale what it brings, negative and rounded down."""
    return divide_up(size * price, _PER_MICRO)
