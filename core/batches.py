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
    NOTHING_TO_LAND = 5
    """No account moves, so there is no transaction to wait for."""


TRANSITIONS: Final = {
    (BatchStatus.MATCHED, BatchMove.CUT): BatchStatus.BATCHED,
    (BatchStatus.BATCHED, BatchMove.SEND): BatchStatus.SUBMITTED,
    (BatchStatus.SUBMITTED, BatchMove.ALL_PAGES_CONFIRMED): BatchStatus.CONFIRMED,
    (BatchStatus.CONFIRMED, BatchMove.SEAL_FINALIZED): BatchStatus.FINAL,
    (BatchStatus.BATCHED, BatchMove.NOTHING_TO_LAND): BatchStatus.FINAL,
}


def may_become(before: int, after: int, *, lands: bool) -> bool:
    """Whether one move leads from status `before` to `after`; `lands` says whether the batch moves any account on chain."""
    return any(
        (status, become) == (before, after) and lands == (move is not BatchMove.NOTHING_TO_LAND)
        for (status, move), become in TRANSITIONS.items()
    )


class PageStatus(IntEnum):
    """Life of one page of a batch on its way to the chain."""

    PLANNED = 0
    SIGNED = 1
    CONFIRMED = 2
    FINALIZED = 3
