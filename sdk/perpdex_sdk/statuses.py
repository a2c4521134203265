"""How far the settlement of each fill is, from what the exchange says of all of them: on connecting, and with each batch's moves.

Batches cover the exchange's records one after another, so the status of a fill follows from its `seq`. It never goes back: older news
that comes late, over a new connection or after a restart of the exchange, says nothing.
"""

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
    """Of the fills heard of; those that are final are forgotten once that was told."""

    def __init__(self) -> None:
        self.batch = 0
        self._through = [0] * FINAL
        self._open: dict[int, tuple[int, int]] = {}

    @property
    def final_batch(self) -> int:
        """The last batch known to be final, 0 for none."""
        return self.batch if self._through[-1] == self._through[0] else self.batch - 1

    def heard_fill(self, fill: Fill) -> list[FillMoved]:
        self._open[fill.fill] = (fill.seq, 0)
        return self._moved(())

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
        return self._moved(signatures)

    def _moved(self, signatures: tuple[str, ...]) -> list[FillMoved]:
        moved = []
        for fill, (seq, before) in list(self._open.items()):
            rank = sum(seq <= through for through in self._through)
            if rank > before:
                moved.append(FillMoved(fill, seq, STATUSES[rank], signatures))
                self._open[fill] = (seq, rank)
            if rank == FINAL:
                del self._open[fill]
        return moved
