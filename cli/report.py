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


class VaultReport(msgspec.Struct, frozen=True):
    """The demonstration vault as of the newest snapshot (microseconds), in micro-USDC, and the same from the venues' own fills.

    `nav` is None when a leg has no price; `demo_prices` are legs at a made-up one. `tickets` count those of this run by venue and
    state; `undecided` are orders, of whatever run, of which nobody knows what became of them.
    """

    vault: str
    at: int
    nav: int | None
    nav_recomputed: int
    cash: int
    cash_recomputed: int
    positions: dict[str, dict[str, str]]
    positions_agree: bool
    demo_prices: tuple[str, ...]
    doubts: tuple[str, ...]
    tickets: dict[str, dict[str, int]]
    undecided: int

    @property
    def filled(self) -> int:
        return sum(counts.get("filled", 0) for counts in self.tickets.values())

    def checks(self) -> tuple[tuple[bool, str], ...]:
        """What must hold, and the sentence for where it does not."""
        worth = f"{self.nav} by its snapshot and {self.nav_recomputed} by its venues' own fills"
        return (
            (self.filled > 0, f"no ticket of vault {self.vault} was filled"),
            (self.undecided == 0, f"what became of {self.undecided} orders of vault {self.vault} is unknown"),
            (
                self.positions_agree,
                f"vault {self.vault} holds other positions than its venues' fills add up to",
            ),
            (
                self.nav == self.nav_recomputed and self.cash == self.cash_recomputed,
                f"vault {self.vault} is worth {worth} (cash {self.cash} and {self.cash_recomputed})",
            ),
        )

    def summary(self) -> str:
        counts = "; ".join(
            f"{venue} {', '.join(f'{count} {status}' for status, count in states.items())}"
            for venue, states in self.tickets.items()
        )
        worth = f"NAV {self.nav} and by its venues' own fills {self.nav_recomputed} micro-USDC"
        return f"vault {self.vault}: {worth}; tickets {counts or 'none'}"


class Report(msgspec.Struct, frozen=True):
    """Counts are of this run; sums and checks are of everything at its end. `ack_ms` is from sending a request to its final answer.

    `books_not_compared` are processes of agents that ended badly, or without saying that their own books agreed. `vault` is None in a
    run without one. `state_hash` is the engine's own, `replayed_hash` what its journal comes to when it is played again.
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
    replayed_hash: str
    vault: VaultReport | None = None

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
            (
                self.state_hash == self.replayed_hash,
                f"the engine's state is {self.state_hash}, and the journal replays to {self.replayed_hash}",
            ),
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
        of_vault = self.vault.checks() if self.vault is not None else ()
        return [sentence for held, sentence in (*checks, *of_vault) if not held]

    def summary(self) -> str:
        """The report in a few lines, for people."""
        verdict = "every invariant held" if not self.broken() else "NOT every invariant held"
        vault = [] if self.vault is None else [self.vault.summary()]
        return "\n".join(
            (
                f"{self.fills} fills of {self.requests} requests in {self.seconds:.0f} s, {self.final_fills} of them final on chain "
                f"in {len(self.batches)} batches",
                f"acknowledged in p50 {self.ack_ms.p50:.1f} ms, p99 {self.ack_ms.p99:.1f} ms; prices: {self.prices}",
                f"vault {self.chain.vault} = pages {self.chain.pages_total} = ledger {self.ledger.total} micro-USDC",
                *vault,
                f"the journal replays to the engine's state {self.state_hash[:16]}…"
                if self.state_hash == self.replayed_hash
                else f"the journal replays to {self.replayed_hash[:16]}…, the engine's state is {self.state_hash[:16]}…",
                verdict,
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
