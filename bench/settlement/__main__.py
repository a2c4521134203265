"""What a settlement batch costs and how long it takes on the whole network: 100, 1,000 and 10,000 accounts, from cut to final.

    python -m bench.settlement [ACCOUNTS ...]

Prints a Markdown section; what it is doing goes to the standard error.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from activities.settlement import BatchReceipt
from bench.disk import scratch
from bench.report import NOISE, Target, table, targets
from bench.settlement.network import Network, Paid
from chain.deltas import SLOTS_PER_PAGE
from cli.demo import on_free_ports
from core.batches import BatchStatus
from core.quantities import SECOND
from settings import Settings
from workflows.batch import WINDOW

SIZES: Final = (100, 1_000, 10_000)
ROUNDS: Final = 3
TARGET_S: Final = 15
SELDOM_S: Final = 3_600
"""Seconds between two cuts of the Schedule: longer than the benchmark takes, which asks for each cut itself."""
STEPS: Final = (BatchStatus.SUBMITTED, BatchStatus.CONFIRMED, BatchStatus.FINAL)


class Batch(NamedTuple):
    """A final batch: `seconds` from the cut's record to those of the steps after it."""

    receipt: BatchReceipt
    paid: Paid
    seconds: tuple[float, ...]


def measured(network: Network, sizes: Sequence[int], rounds: int) -> dict[int, list[Batch]]:
    """Batches by number of accounts that traded before each."""
    network.start()
    settled: list[tuple[int, BatchReceipt, Paid]] = []
    # The first one is not counted: a worker that has never settled loads and connects what it needs.
    for size in (sizes[0], *(size for size in sizes for _ in range(rounds))):
        network.trade(size)
        receipt, paid = asyncio.run(network.settle())
        if settled and receipt.deltas < size:
            raise RuntimeError(f"batch {receipt.batch} moves {receipt.deltas} accounts, not {size}")
        tell(f"batch {receipt.batch} of {receipt.deltas:,} accounts is final")
        settled.append((size, receipt, paid))
    network.stop()
    reached = network.reached()
    found: dict[int, list[Batch]] = {size: [] for size in sizes}
    for size, receipt, paid in settled[1:]:
        at = reached[receipt.batch]
        seconds = tuple((at[step] - at[BatchStatus.BATCHED]) / SECOND for step in STEPS)
        found[size].append(Batch(receipt, paid, seconds))
    return found


def tell(line: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def row(batches: Sequence[Batch]) -> tuple[str, ...]:
    receipt, paid = batches[-1].receipt, batches[-1].paid
    return (
        f"{receipt.deltas:,}",
        f"{receipt.fills:,}",
        f"{receipt.pages:,}",
        f"{receipt.deltas / receipt.pages:.1f}",
        f"{paid.bytes_max:,}",
        f"{paid.units / receipt.deltas:.0f}",
        f"{paid.page_lamports / receipt.deltas:.1f}",
        f"{paid.lamports / receipt.deltas:.1f}",
        *(f"{median(batch.seconds[step] for batch in batches):.1f}" for step in range(len(STEPS))),
        f"{max(batch.seconds[-1] for batch in batches):.1f}",
    )


HEADS: Final = (
    "accounts that move",
    "fills",
    "page transactions",
    "deltas each",
    "bytes at most",
    "units per delta",
    "lamports per delta",
    "with open and seal",
    "s to opened",
    "s to confirmed",
    "s to final",
    "slowest",
)


def reached(most: Sequence[Batch]) -> list[Target]:
    """The targets beside the largest batches."""
    receipt, paid = most[-1].receipt, most[-1].paid
    final = median(batch.seconds[-1] for batch in most)
    return [
        Target(
            f"cut to final, {receipt.deltas:,} accounts",
            f"<= {TARGET_S} s",
            f"{final:.1f} s",
            final <= TARGET_S,
        ),
        Target(
            "deltas in a full page's transaction",
            ">= 100",
            f"{receipt.deltas / receipt.pages:.1f}",
            receipt.deltas >= 100 * receipt.pages,
        ),
        Target(
            "compute units per delta",
            "<= 200",
            f"{paid.units / receipt.deltas:.0f}",
            paid.units <= 200 * receipt.deltas,
        ),
        Target(
            "lamports per settled account",
            "<= 50",
            f"{paid.lamports / receipt.deltas:.1f}",
            paid.lamports <= 50 * receipt.deltas,
        ),
    ]


def section(sizes: Sequence[int]) -> str:
    """Measure; the section in Markdown."""
    with scratch() as directory:
        given = Settings(perpdex_data=Path(directory), pyth_url="", settlement_interval_s=SELDOM_S)
        network = Network(on_free_ports(given), max(sizes), tell)
        try:
            found = measured(network, sizes, ROUNDS)
        finally:
            network.stop()
    slot, finality = given.localnet_slot_ms, given.localnet_finality_slots
    about = f"""\
The whole network as `perpdex up` starts it, each part in a process of its own: the matcher with its API, PostgreSQL and the
projector, the Temporal server and a worker, the local chain with slots of {slot} ms, final after {finality}. {max(sizes):,} accounts
have slots and deposits. Before each batch every account it is about trades once with its neighbour, and prices go on moving. Then
the settlement workflow is asked for a round: it cuts over the operator's door, stores deltas and root, opens, settles pages of
{SLOTS_PER_PAGE} slots, {WINDOW} at a time, seals, and waits for finality. Timed by the journal's own records, from the cut's
to those with which the batch becomes public as submitted, confirmed and final: the median of {ROUNDS} batches, and the slowest. The
treasury, which earns the fees, moves too. {NOISE}"""
    return "\n\n".join(
        (
            "## Settlement on the whole network",
            about,
            table(HEADS, map(row, found.values())),
            targets(reached(found[max(sizes)])),
        )
    )


if __name__ == "__main__":
    print(section([int(size) for size in sys.argv[1:]] or SIZES))
