"""One position: signed size and the cost it was entered at."""

import msgspec

from core.quantities import divide_up


class Position(msgspec.Struct, gc=False):
    """Signed lots and their signed cost in micro-USDC; `required` is the margin that they required when last valued."""

    size: int
    cost: int
    required: int = 0


Trade = tuple[int, int, int]
"""Size and cost of a position after a trade, and what the trade realized (before fees)."""


def trade(size: int, cost: int, change: int, value_per_lot: int) -> Trade:
    """Trade `change` lots (signed) at `value_per_lot` micro-USDC on a position of `size` lots that cost `cost`.

    Opening adds to the cost. Reducing realizes the difference between the price and the average entry; the cost leaving with the
    closed part is rounded up, so what is realized is rounded down, and the fraction stays in the remaining position's cost
    until it closes. Flipping closes whole, then opens the rest. Nothing is lost: cost + realized balances value exactly.
    """
    if size == 0 or (size > 0) == (change > 0):
        return size + change, cost + change * value_per_lot, 0
    if abs(change) < abs(size):
        closed = divide_up(cost * abs(change), abs(size))
        return size + change, cost - closed, -change * value_per_lot - closed
    rest = size + change
    return rest, rest * value_per_lot, size * value_per_lot - cost
