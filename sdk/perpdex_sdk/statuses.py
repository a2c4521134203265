"""How far the settlement of each fill is, from what the exchange says of all of them: on connecting, and with each batch's moves.

Batches cover the exchange's records one after another, so the status of a fill follows from its `seq`. It never goes back: older news
that comes late, over a new connection or after a restart of the exchange, says nothing.
"""

from heapq import heappop, heappush
from typing import Final

import msgspec

from perpdex_sdk.messages import Batch, Fill, Settlement

STATUSES: Final = ("matched", "batched", "submitted", "confirmed", "final")
FINAL: Final = len(STATUSES) - 1


class FillMoved(msgspec.Struct, frozen=True):
    """A fill of this account has another status. `signatures` are the batch's so far, empty when it is heard of later."""

    fill: int
    seq: int
    status: str
    signatures: tuple[str, ...] = ()


class Statuses:
    """Of the fills heard of; those that are final are forgotten once that was told.

    Fills wait by status in order of their `seq`, so news costs only those that it moves, and a fill no more for those that wait.
    """

    def __init__(self) -> None:
        self.batch = 0
        self._through = [0] * FINAL
        self._waiting: tuple[list[tuple[int, int]], ...] = tuple([] for _ in range(FINAL))

    @property
    def final_batch(self) -> int:
        """The last batch known to be final, 0 for none."""
        return self.batch if self._through[-1] == self._through[0] else self.batch - 1

    def heard_fill(self, fill: Fill) -> list[FillMoved]:
        rank = self._keep(fill.seq, fill.fill)
        return [FillMoved(fill.fill, fill.seq, STATUSES[rank])] if rank else []

    def heard_settlement(self, told: Settlement) -> list[FillMoved]:
        return self._heard(told.batch, [told.batched, told.submitted, told.confirmed, told.final], ())

    def heard_batch(self, batch: Batch) -> list[FillMoved]:
        """Everything before a batch is final when it is cut.

        A status that this version does not know moves nothing: the next one that it knows does, or what the exchange says of all.
        """
        if batch.status not in STATUSES:
            return []
        rank = STATUSES.index(batch.status)
        through = [batch.seq] * rank + [batch.after_seq] * (FINAL - rank)
        return self._heard(batch.batch, through, batch.signatures)

    def _heard(self, batch: int, through: list[int], signatures: tuple[str, ...]) -> list[FillMoved]:
        self.batch = max(self.batch, batch)
        self._through = [max(pair) for pair in zip(self._through, through, strict=True)]
        moved = []
        # From the furthest status back: what has moved is not looked at again, and the oldest fills are told of first.
        for waiting, reached in zip(reversed(self._waiting), reversed(self._through), strict=True):
            while waiting and waiting[0][0] <= reached:
                seq, fill = heappop(waiting)
                moved.append(FillMoved(fill, seq, STATUSES[self._keep(seq, fill)], signatures))
        return moved

    def _keep(self, seq: int, fill: int) -> int:
        """Have a fill wait for the status after the one that it has, unless that is the last; which it has."""
        rank = sum(seq <= reached for reached in self._through)
        if rank < FINAL:
            heappush(self._waiting[rank], (seq, fill))
        return rank
