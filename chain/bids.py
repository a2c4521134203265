"""What a transaction offers per compute unit, in micro-lamports: after what landed, and after what expired."""

from typing import Final

from solders.compute_budget import ID as BUDGET_PROGRAM
from solders.transaction import Transaction

PRIORITY_FEE_FIRST: Final = 1_000
"""The least that is offered after a transaction has expired."""
PRIORITY_FEE_MAX: Final = 1_000_000
"""At most one lamport a unit, so 67,250 lamports for the largest page."""
_SET_PRICE: Final = 3
"""First byte of the instruction that sets the price of a compute unit; eight bytes follow."""


def offered(raw: bytes) -> int:
    """What signed bytes offer per unit; 0 when they say nothing of it. Raises `ValueError` for what is no transaction."""
    message = Transaction.from_bytes(raw).message
    for one in message.instructions:
        if message.account_keys[one.program_id_index] == BUDGET_PROGRAM and one.data[:1] == bytes(
            [_SET_PRICE]
        ):
            return int.from_bytes(one.data[1:9], "little")
    return 0


def first_offer(floor: int, landed: int, batches: int) -> int:
    """What a step offers first when `landed` was paid so many `batches` ago: half of it for each batch, rounded down.

    Below `PRIORITY_FEE_FIRST` it counts for nothing. Never below `floor`, and beyond `PRIORITY_FEE_MAX` only where `floor` is.
    """
    again = landed >> batches
    return max(floor, min(again, PRIORITY_FEE_MAX) if again >= PRIORITY_FEE_FIRST else 0)


def next_offer(floor: int, first: int, expired: int) -> int:
    """What follows an offer of `expired` that came too late: twice as much, or `first` where others have paid more since."""
    return min(max(first, PRIORITY_FEE_FIRST, 2 * expired), max(floor, PRIORITY_FEE_MAX))
