"""How far the settlement of all fills is, as five numbers: batches follow each other, so the status of a fill follows from its record.

Only what is on disk counts, so no status that was told is ever taken back: not by a crash, and not by a read side that lags behind.
"""

from core.batches import BatchStatus
from matcher.state import Exchange


class FillMarks:
    """`through[status]` is the last journal record whose fills all have that status at least; `batch` is the last one that was cut."""

    __slots__ = ("after", "batch", "through")

    def __init__(self, state: Exchange) -> None:
        """As of a state that is on disk."""
        cut = state.cut
        self.batch, self.after = (cut.batch, cut.previous_seq) if cut is not None else (0, 0)
        self.through = dict.fromkeys(list(BatchStatus)[1:], self.after)
        if cut is not None:
            self._reach(BatchStatus(state.batches[cut.batch]), cut.seq)

    def cut(self, batch: int, seq: int) -> None:
        """Batch `batch` covers the records after those of the last one, which is final, up to `seq`."""
        self.batch, self.after = batch, self.through[BatchStatus.BATCHED]
        self._reach(BatchStatus.BATCHED, seq)

    def advanced(self, batch: int, status: int) -> None:
        if batch == self.batch:
            self._reach(BatchStatus(status), self.through[BatchStatus.BATCHED])

    def status(self, seq: int) -> BatchStatus:
        """Of a fill in record `seq`."""
        return max(
            (one for one, through in self.through.items() if seq <= through), default=BatchStatus.MATCHED
        )

    def batch_of(self, seq: int) -> int:
        """The batch of a fill in record `seq`, 0 when none has it or it is in one before the last."""
        return self.batch if self.after < seq <= self.through[BatchStatus.BATCHED] else 0

    def of_batch(self, batch: int) -> BatchStatus:
        """Of a batch that was cut."""
        return BatchStatus.FINAL if batch < self.batch else self.status(self.through[BatchStatus.BATCHED])

    def _reach(self, status: BatchStatus, seq: int) -> None:
        for one in self.through:
            if one <= status:
                self.through[one] = seq
