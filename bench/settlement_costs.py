"""What settling costs on chain: batches of netted fills beside a settlement of every fill by itself, through the same program.

    python -m bench.settlement_costs [ACCOUNTS ...]

Prints a Markdown section; what it is doing goes to the standard error.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bench.disk import scratch
from bench.report import table
from bench.settlement.accounts import HOLDING, Opener, Place, places
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.send import Landed, send_until
from chain.transactions import SignedTransaction
from cli.probes import rpc
from core.pages import plan_pages

SIZES: Final = (100, 1_000, 10_000)
FILLS: Final = (1, 10, 1_000)
"""Fills of each account within a batch."""
GAIN_MAX: Final = 10_000
"""Micro-USDC that a fill moves at most: an account's thousand fills stay within its deposit."""
ALONE: Final = 200
"""Of a batch's fills so many, the first ones, are settled once more, each by itself: what one costs does not depend on how many there
are."""
ONE: Final = 5_000
"""Lamports of a transaction with one signature and no priority fee: nothing on Solana settles for less."""
POLL_S: Final = 0.02
WINDOW: Final = 16
LAMPORTS: Final = 10**12
Fill = tuple[Place, Place, int]


class Cost(NamedTuple):
    """Of some transactions together."""

    transactions: int
    bytes: int
    units: int
    lamports: int

    def __add__(self, other: object) -> "Cost":
        assert isinstance(other, Cost)
        return Cost(*(one + two for one, two in zip(self, other, strict=True)))


NOTHING: Final = Cost(0, 0, 0, 0)


class Settler:
    """Settles fills through one escrow, batch after batch."""

    def __init__(self, escrow: EscrowClient, operator: KeypairSigner) -> None:
        self._escrow, self._operator = escrow, operator
        self._batch = 0
        self._window = asyncio.Semaphore(WINDOW)

    async def settle(self, fills: Iterable[Fill]) -> tuple[Cost, int]:
        """One batch of all fills, net; what it cost, and how many accounts it moved."""
        net: dict[tuple[int, int], int] = {}
        for payer, receiver, amount in fills:
            for place, change in ((payer, -amount), (receiver, amount)):
                net[place.page, place.slot] = net.get((place.page, place.slot), 0) + change
        plans = plan_pages((page, slot, delta) for (page, slot), delta in net.items())
        escrow, operator, batch = self._escrow, self._operator, self._batch + 1
        cost = await self._land(escrow.build_open_batch(operator, batch, bytes(32), len(plans)))
        # Net debits first: the program's clearing is never below zero.
        for sign in (True, False):
            pages = [plan for plan in plans if (plan.net < 0) is sign]
            costs = await asyncio.gather(
                *(
                    self._land(escrow.build_settle_page(operator, batch, plan.page, list(plan.deltas)))
                    for plan in pages
                )
            )
            cost = sum(costs, cost)
        cost += await self._land(escrow.build_seal_batch(operator, batch))
        self._batch = batch
        return cost, sum(len(plan.deltas) for plan in plans)

    async def _land(self, building: Awaitable[SignedTransaction]) -> Cost:
        async with self._window:
            signed = await building
            fate = await send_until(self._escrow.client, signed, poll_s=POLL_S)
        receipt = await self._escrow.view.receipt(signed.signature)
        if not isinstance(fate, Landed) or receipt is None:
            raise RuntimeError(f"the chain did not take a transaction: {fate}")
        return Cost(1, len(signed.raw), receipt.units, receipt.fee)


class Row(NamedTuple):
    accounts: int
    each: int
    fills: int
    moved: int
    batch: Cost
    alone: Cost
    """Of the first `singly` of the same fills."""
    singly: int

    def cells(self) -> tuple[str, ...]:
        batch, alone = self.batch, self.alone
        per_fill = batch.lamports / self.fills
        return (
            f"{self.accounts:,}",
            f"{self.each:,}",
            f"{self.fills:,}",
            f"{ONE:,}",
            f"{per_fill:.3g}",
            f"{ONE / per_fill:,.0f} x",
            f"{batch.transactions:,}",
            *(f"{figure / self.moved:.1f}" for figure in (batch.lamports, batch.units, batch.bytes)),
            *(f"{figure / self.fills:.3g}" for figure in (batch.units, batch.bytes)),
            f"{self.singly:,}",
            *(f"{figure / self.singly:,.0f}" for figure in (alone.lamports, alone.units, alone.bytes)),
            f"{alone.lamports / self.singly / per_fill:,.0f} x",
        )


HEADS: Final = (
    "accounts",
    "fills each",
    "fills",
    "one transaction a trade: lamports per fill (estimate)",
    "batch: lamports per fill",
    "estimate against batch",
    "transactions",
    "lamports per account",
    "units per account",
    "bytes per account",
    "units per fill",
    "bytes per fill",
    "of these alone",
    "alone: lamports per fill",
    "alone: units",
    "alone: bytes",
    "alone against batch",
)


def fills(accounts: Sequence[Place], each: int, chance: random.Random) -> Iterator[Fill]:
    """So many fills of each account, with partners drawn anew for every round."""
    order = list(accounts)
    for _ in range(each):
        chance.shuffle(order)
        for payer, receiver in zip(order[::2], order[1::2], strict=True):
            yield payer, receiver, chance.randrange(1, GAIN_MAX)


def tell(line: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@asynccontextmanager
async def exchange(directory: Path, count: int) -> Any:
    """An escrow on a chain of its own, with deposits in so many slots; what settles, and the slots."""
    chain = LocalnetProcess(directory, slot_ms=20, finality=2)
    accounts, operator = places(count), KeypairSigner(Keypair())
    with chain:
        client = AsyncClient(chain.url, timeout=30)
        escrow = EscrowClient(client, PROGRAM_ID, operator.pubkey, USDC_MINT)
        rpc(chain.url, "requestAirdrop", str(operator.pubkey), LAMPORTS)
        share = SLOTS_PER_PAGE * (HOLDING + accounts[-1].account)
        for owner in {place.owner for place in accounts}:
            rpc(chain.url, "requestAirdrop", str(owner.pubkey), LAMPORTS)
            rpc(chain.url, "perpdexMintTestUsdc", str(owner.pubkey), share)
        build = escrow.build_initialize(
            operator,
            operator=operator.pubkey,
            guardian=Pubkey.new_unique(),
            treasury=Pubkey.new_unique(),
            insurance=Pubkey.new_unique(),
        )
        fate = await send_until(client, await build, poll_s=POLL_S)
        if not isinstance(fate, Landed):
            raise RuntimeError(f"no escrow: {fate}")
        await Opener(escrow, operator, tell).open(accounts)
        try:
            yield Settler(escrow, operator), accounts
        finally:
            await client.close()


async def measured(directory: Path, sizes: Sequence[int]) -> list[Row]:
    rows = []
    async with exchange(directory, max(sizes)) as (settler, accounts):
        for size in sizes:
            for each in FILLS:
                some = accounts[:size]
                # Millions of them are not kept: the same seed gives the same ones again.
                batched, again = (fills(some, each, random.Random(f"{size}/{each}")) for _ in range(2))
                cost, moved = await settler.settle(batched)
                singly, alone = list(islice(again, ALONE)), NOTHING
                for fill in singly:
                    alone += (await settler.settle([fill]))[0]
                rows.append(Row(size, each, size * each // 2, moved, cost, alone, len(singly)))
                tell(f"{size:,} accounts with {each:,} fills each: {cost}")
    return rows


def section(sizes: Sequence[int]) -> str:
    """Measure; the section in Markdown."""
    with scratch() as directory:
        rows = asyncio.run(measured(Path(directory), sizes))
    about = f"""\
What transactions cost, by their receipts: a local chain that runs the compiled program, without engine, ledger or Temporal. Fills are
made up: partners at random, up to {GAIN_MAX:,} micro-USDC each. **Batch**: all fills netted to one delta an account, opened, settled
by pages of {SLOTS_PER_PAGE} slots, sealed. **One transaction a trade** is what a program made for that would pay, {ONE:,} lamports for
the one signature: an estimate, since no such program is here, and the baseline to compare with. One that packed ten trades into a
transaction without netting them would pay a tenth. **Alone**: the very fills of the batch, the first {ALONE} of them where there are
more, each opened, settled and sealed by itself through the same program in the same run. The program is not made for it, three or four
transactions as the two accounts are on one page or on two; the mean is given. Priority fees are zero in all; bytes are those of whole
transactions; larger deltas take more of them, and up to 199 units each."""
    return "\n\n".join(("## Cost of settlement on chain", about, table(HEADS, (row.cells() for row in rows))))


if __name__ == "__main__":
    print(section([int(size) for size in sys.argv[1:]] or SIZES))
