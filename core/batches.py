"""Life of a settlement batch, and with it the public status of every fill in it."""

from enum import IntEnum
from typing import Final


class BatchStatus(IntEnum):
    """Public status; only ever grows. `MATCHED` is a fill that no batch has taken yet."""

    MATCHED = 0
    BATCHED = 1
    SUBMITTED = 2
    CONFIRMED = 3
    FINAL = 4


class BatchMove(IntEnum):
    """What happened to a batch."""

    CUT = 1
    SEND = 2
    ALL_PAGES_CONFIRMED = 3
    SEAL_FINALIZED = 4


TRANSITIONS: Final = {
    (BatchStatus.MATCHED, BatchMove.CUT): BatchStatus.BATCHED,
    (BatchStatus.BATCHED, BatchMove.SEND): BatchStatus.SUBMITTED,
    (BatchStatus.SUBMITTED, BatchMove.ALL_PAGES_CONFIRMED): BatchStatus.CONFIRMED,
    (BatchStatus.CONFIRMED, BatchMove.SEAL_FINALIZED): BatchStatus.FINAL,
}


def moved(status: BatchStatus, move: BatchMove) -> BatchStatus | None:
    """Status after `move`, or None when the move is not allowed from `status`."""
    return TRANSITIONS.get((status, move))


class PageStatus(IntEnum):
    """Life of one page of a batch on its way to the chain."""

    PLANNED = 0
    SIGNED = 1
    CONFIRMED = 2
    FINALIZED = 3
