"""What a bounded run came to, and whether every invariant held."""

import os
from pathlib import Path

import msgspec
import typer

from cli.figures import Batch
from cli.tally import Latency


class ChainReport(msgspec.Struct, frozen=True):
    """Finalized, in micro-USDC."""

    vault: int
    pages_total: int


class LedgerReport(msgspec.Struct, frozen=True):
    """`total` is the sum of all accounts in micro-USDC; `imbalance` is what postings fail to balance by: zero."""

    total: int
    imbalance: int


class BatchReport(msgspec.Struct, frozen=True):
    id: int
    pages: int
    deltas: int
    fills: int
    signatures: tuple[str, ...]
    lamports: int
    status: str


class Report(msgspec.Struct, frozen=True):
    """Counts are of this run; sums and checks are of everything at its end. `ack_ms` is from sending a request to its final answer.

    `books_not_compared` are processes of agents that ended badly, or without saying that their own books agreed.
    """

    seconds: float
    makers: int
    traders: int
    prices: str
    fills: int
    final_fills: int
    fills_per_second: float
    requests: int
    answers: dict[str, int]
    rejected: dict[str, int]
    unknown: int
    ack_ms: Latency
    batches: tuple[BatchReport, ...]
    chain: ChainReport
    ledger: LedgerReport
    conserved: bool
    positions_zero_sum: bool
    book_mismatches: int
    books_not_compared: tuple[str, ...]
    state_hash: str

    def broken(self) -> list[str]:
        """A sentence for each invariant that did not hold; empty when all did. A run without trades shows nothing, and has failed."""
        checks = (
            (self.fills > 0, "nothing was traded"),
            (self.unknown == 0, f"{self.unknown} requests got no answer: what became of them is unknown"),
            (self.conserved, "the engine's balances do not add up to deposits less withdrawals"),
            (self.positions_zero_sum, "positions of a market do not add up to zero"),
            (
                self.chain.vault == self.chain.pages_total == self.ledger.total,
                f"vault {self.chain.vault}, pages {self.chain.pages_total} and ledger {self.ledger.total} differ",
            ),
            (self.ledger.imbalance == 0, f"the ledger's postings are off by {self.ledger.imbalance}"),
            (self.final_fills == self.fills, f"{self.fills - self.final_fills} fills are not final"),
            (
                all(batch.status == "final" for batch in self.batches),
                "not every batch of this run is final",
            ),
            (
                self.book_mismatches == 0,
                f"agents' own books differed from the exchange's {self.book_mismatches} times",
            ),
            (
                not self.books_not_compared,
                f"{', '.join(self.books_not_compared)} died before their books were compared with the exchange's",
            ),
        )
        return [sentence for held, sentence in checks if not held]

    def summary(self) -> str:
        """The report in a few lines, for people."""
        verdict = "every invariant held" if not self.broken() else "NOT every invariant held"
        return "\n".join(
            (
                f"{self.fills} fills of {self.requests} requests in {self.seconds:.0f} s, {self.final_fills} of them final on chain "
                f"in {len(self.batches)} batches",
                f"acknowledged in p50 {self.ack_ms.p50:.1f} ms, p99 {self.ack_ms.p99:.1f} ms; prices: {self.prices}",
                f"vault {self.chain.vault} = pages {self.chain.pages_total} = ledger {self.ledger.total} micro-USDC; {verdict}",
            )
        )

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


def writable(path: Path | None) -> Path | None:
    """A file that can be written at the end, found out at the beginning. Nothing of it is touched yet."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise typer.BadParameter(f"{path} cannot be written")
    return path


def batch_report(batch: Batch) -> BatchReport:
    return BatchReport(
        batch.id, batch.pages, batch.deltas, batch.fills, batch.signatures, batch.lamports, batch.status
    )
