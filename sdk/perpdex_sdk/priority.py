"""What an owner offers so that its transaction comes before others: a price for each compute unit that the transaction may use."""

from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction

UNITS: Final = 60_000
"""Compute units that no instruction of an owner's reaches, with room to spare: a claim takes some 12,300, a token account 25,000."""
FIRST, MOST = 1_000, 1_000_000
"""Micro-lamports per unit: the first raise from nothing, and where raising ends unless the owner says otherwise. At the most a
transaction of one instruction costs 60,000 lamports besides its signature, the claim with its token account 120,000."""


def at_price(price: int, *instructions: Instruction) -> list[Instruction]:
    """The instructions, and before them the offer of `price` micro-lamports per compute unit, of which it has `UNITS` for
    each; nothing where nothing is offered. The chain takes the product in lamports, rounded up, whatever was used.

    Raises `ValueError` below 0.
    """
    if price < 0:
        raise ValueError(f"a price of {price} micro-lamports")
    if not price:
        return list(instructions)
    return [set_compute_unit_limit(UNITS * len(instructions)), set_compute_unit_price(price), *instructions]


class Offer:
    """What is offered for the next transaction: `price` micro-lamports per compute unit, raised up to `most`."""

    def __init__(self, price: int, most: int) -> None:
        self.price = price
        self._most = most
        self._taken = 0
        """The last price at which a transaction was let through, and expired."""

    def __str__(self) -> str:
        return f"offers {self.price} micro-lamports per compute unit"

    def raise_it(self) -> None:
        """After one that expired: twice as much, `FIRST` at least and `most` at most; never less than before."""
        self._taken = self.price
        self.price = max(self.price, min(max(2 * self.price, FIRST), self._most))

    def lower_it(self) -> bool:
        """After one that the owner has too little SOL for: back to the last price that was let through, then to none, and never higher
        again. False where nothing was offered: then it is not for the offer."""
        if not self.price:
            return False
        self.price = self._most = self._taken if self._taken < self.price else 0
        return True
