"""What a settlement batch costs and how long it takes: 100, 1,000 and 10,000 accounts on the local chain, from cut to final.

    python -m bench.settlement [ACCOUNTS ...]

The chain runs as `perpdex up` runs it, the compiled program settles, and batches take the steps of `activities.settlement` with its
rules for netting, pages and roots, over the same client. Prints a Markdown section.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import httpx
from anchorpy import Context, Program, Provider, Wallet
from solana.rpc.async_api import AsyncClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bench.report import Target, table, targets
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import EscrowClient
from chain.escrow_view import Receipt
from chain.idl import escrow_idl
from chain.keys import Signer
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT
from chain.localnet.process import LocalnetProcess
from chain.rpc import CONFIRMED, FINALIZED
from chain.send import Landed, send_until
from chain.transactions import SignedTransaction, UnsignedTransaction, signed
from core.merkle import account_leaf, batch_root, root
from core.netting import net
from core.pages import PagePlan, plan_pages
from settings import Settings
from workflows.batch import WINDOW

SIZES: Final = (100, 1_000, 10_000)
OPENED_AT_ONCE: Final = 16
"""Accounts opened by one transaction of 1,232 bytes; the exchange opens each by itself, as agents come."""
PAGES_AT_ONCE: Final = 8
HOLDING: Final = 1_000_000_000
"""Micro-USDC of each account before the measured batches."""
FIRST_ACCOUNT: Final = 16
OWN_SLOTS: Final = 2
"""Slots of page 0 that belong to the treasury and the insurance fund."""


class Cost(NamedTuple):
    """A final batch. Times in seconds since the cut; `fees` in lamports, with those of opening and sealing."""

    accounts: int
    pages: int
    bytes_max: int
    units: int
    page_fees: int
    fees: int
    confirmed: float
    final: float


class Ledger:
    """Equity of each account, by slot, as the chain has it after the last batch."""

    def __init__(self, accounts: int) -> None:
        places = [divmod(number + OWN_SLOTS, SLOTS_PER_PAGE) for number in range(accounts)]
        self.places = {FIRST_ACCOUNT + number: place for number, place in enumerate(places)}
        self.settled = dict.fromkeys(self.places, 0)


class Bench:
    """An escrow with its operator, who owns every account as well."""

    def __init__(self, client: AsyncClient, operator: Signer) -> None:
        self._escrow = EscrowClient(client, PROGRAM_ID, operator.pubkey, USDC_MINT)
        self._operator = operator
        self._program = Program(escrow_idl(), PROGRAM_ID, Provider(client, Wallet(Keypair())))
        self._batch = 0

    async def open_accounts(self, ledger: Ledger, total: int) -> None:
        """Pages and slots for all accounts, and `total` micro-USDC deposited into the first one."""
        escrow, operator = self._escrow, self._operator
        key = operator.pubkey
        owners = {"treasury": Pubkey.new_unique(), "insurance": Pubkey.new_unique()}
        await self._land(escrow.build_initialize(operator, operator=key, guardian=key, **owners), FINALIZED)
        pages: dict[int, list[int]] = {}
        for account, (page, _) in ledger.places.items():
            pages.setdefault(page, []).append(account)
        for first in range(1, len(pages), PAGES_AT_ONCE):
            indexes = range(first, min(first + PAGES_AT_ONCE, len(pages)))
            await self._land(
                self._of(
                    [
                        self._instruction("create_page", page, page, system_program=SYSTEM_PROGRAM)
                        for page in indexes
                    ]
                )
            )
        await asyncio.gather(*(self._fill(page, accounts) for page, accounts in pages.items()))
        await self._land(escrow.build_deposit(operator, 0, OWN_SLOTS, total), FINALIZED)
        ledger.settled[FIRST_ACCOUNT] = total

    async def _fill(self, page: int, accounts: list[int]) -> None:
        """Open accounts on a page in order."""
        for first in range(0, len(accounts), OPENED_AT_ONCE):
            opened = accounts[first : first + OPENED_AT_ONCE]
            key = self._operator.pubkey
            instructions = [self._instruction("open_account", page, key, account) for account in opened]
            await self._land(self._of(instructions))

    def _instruction(self, name: str, page: int, *arguments: object, **others: Pubkey) -> Instruction:
        at = self._escrow.addresses
        accounts = {"escrow": at.escrow, "page": at.page(page), "operator": self._operator.pubkey, **others}
        built: Instruction = self._program.instruction[name](*arguments, ctx=Context(accounts=accounts))
        return built

    async def _of(self, instructions: list[Instruction]) -> SignedTransaction:
        blockhash = await self._escrow.blockhash()
        message = bytes(Message.new_with_blockhash(instructions, self._operator.pubkey, blockhash.value))
        return signed(UnsignedTransaction(message, blockhash.last_valid_block_height), [self._operator])

    async def settle(self, ledger: Ledger, equity: dict[int, int]) -> Cost:
        """One batch from the cut, at which `equity` is known, until its seal is final."""
        started = time.perf_counter()
        self._batch += 1
        settled = {account: ledger.settled[account] for account in equity}
        deltas = net(settled, equity)
        plans = plan_pages((*ledger.places[account], delta) for account, delta in deltas.items())
        leaves = [account_leaf(self._batch, account, value, value) for account, value in equity.items()]
        escrow, operator, batch = self._escrow, self._operator, self._batch
        opened = await self._land(
            escrow.build_open_batch(operator, batch, batch_root(root([]), root(leaves)), len(plans))
        )
        debits = await self._settle_pages(plan for plan in plans if plan.net < 0)
        credits = await self._settle_pages(plan for plan in plans if plan.net >= 0)
        confirmed = time.perf_counter() - started
        sealed = await self._land(escrow.build_seal_batch(operator, batch), FINALIZED)
        final = time.perf_counter() - started
        ledger.settled.update(equity)
        pages = [*debits, *credits]
        receipts = [await self._receipt(one.signature) for one in (opened, *pages, sealed)]
        return Cost(
            accounts=len(deltas),
            pages=len(plans),
            bytes_max=max(len(one.raw) for one in pages),
            units=sum(one.units for one in receipts[1:-1]),
            page_fees=sum(one.fee for one in receipts[1:-1]),
            fees=sum(one.fee for one in receipts),
            confirmed=confirmed,
            final=final,
        )

    async def _settle_pages(self, plans: Iterable[PagePlan]) -> list[SignedTransaction]:
        window = asyncio.Semaphore(WINDOW)

        async def settle(plan: PagePlan) -> SignedTransaction:
            async with window:
                return await self._land(
                    self._escrow.build_settle_page(self._operator, self._batch, plan.page, list(plan.deltas))
                )

        return list(await asyncio.gather(*map(settle, plans)))

    async def _land(
        self, building: Awaitable[SignedTransaction], commitment: str = CONFIRMED
    ) -> SignedTransaction:
        transaction = await building
        fate = await send_until(self._escrow.client, transaction, commitment)
        if not isinstance(fate, Landed):
            raise RuntimeError(f"the chain did not take a transaction: {fate}")
        return transaction

    async def _receipt(self, signature: str) -> Receipt:
        receipt = await self._escrow.view.receipt(signature)
        assert receipt is not None
        return receipt


def moved(ledger: Ledger, accounts: int) -> dict[int, int]:
    """Equities after a day on which half of the first `accounts` won what the others lost, each another amount."""
    chosen = list(ledger.places)[: accounts - accounts % 2]
    equity = {}
    for number, (loser, winner) in enumerate(zip(chosen[::2], chosen[1::2], strict=True)):
        amount = 1_000_003 + 7_919 * number
        equity[loser] = ledger.settled[loser] - amount
        equity[winner] = ledger.settled[winner] + amount
    return equity


async def costs(url: str, sizes: Sequence[int]) -> list[Cost]:
    """Costs of one batch of each size."""
    operator, ledger = Signer(Keypair()), Ledger(max(sizes))
    total = HOLDING * len(ledger.places)
    async with httpx.AsyncClient(timeout=30) as http:
        for method, amount in (("requestAirdrop", 10**12), ("perpdexMintTestUsdc", total)):
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [str(operator.pubkey), amount]}
            (await http.post(url, json=call)).raise_for_status()
    client = AsyncClient(url, timeout=30)
    bench = Bench(client, operator)
    try:
        await bench.open_accounts(ledger, total)
        await bench.settle(ledger, dict.fromkeys(ledger.places, HOLDING))
        return [await bench.settle(ledger, moved(ledger, size)) for size in sizes]
    finally:
        await client.close()


def row(cost: Cost) -> tuple[str, ...]:
    return (
        f"{cost.accounts:,}",
        f"{cost.pages:,}",
        f"{cost.accounts / cost.pages:.1f}",
        f"{cost.bytes_max:,}",
        f"{cost.units / cost.accounts:.0f}",
        f"{cost.page_fees / cost.accounts:.1f}",
        f"{cost.fees / cost.accounts:.1f}",
        f"{cost.confirmed:.1f}",
        f"{cost.final:.1f}",
    )


HEADS: Final = (
    "accounts",
    "page transactions",
    "deltas each",
    "bytes at most",
    "units per delta",
    "lamports per delta",
    "with open and seal",
    "seconds to confirmed",
    "seconds to final",
)


def section(sizes: Sequence[int]) -> str:
    """Measure; the section in Markdown."""
    given = Settings()
    slot, finality = given.localnet_slot_ms, given.localnet_finality_slots
    with (
        TemporaryDirectory() as directory,
        LocalnetProcess(Path(directory), slot_ms=slot, finality=finality) as chain,
    ):
        found = asyncio.run(costs(chain.url, sizes))
    about = (
        f"Local chain with slots of {slot} ms, final after {finality}. Every account moves by another amount; pages hold "
        f"{SLOTS_PER_PAGE} slots and {WINDOW} are on their way at once, as in the workflow. Timed from the equities at the cut over "
        "netting, pages, root, opening, pages and seal until that is final. Left out: reading the cut over HTTP, rows in PostgreSQL, "
        "Temporal's steps. The target of 15 s from cut to final for 10,000 accounts covers those too, so it is not decided here."
    )
    most = found[-1]
    full = [
        Target(
            "deltas in a full page's transaction",
            ">= 100",
            f"{most.accounts / most.pages:.1f}",
            most.accounts / most.pages >= 100,
        ),
        Target(
            "compute units per delta",
            "<= 200",
            f"{most.units / most.accounts:.0f}",
            most.units <= 200 * most.accounts,
        ),
        Target(
            "lamports per settled account",
            "<= 50",
            f"{most.fees / most.accounts:.1f}",
            most.fees <= 50 * most.accounts,
        ),
    ]
    return "\n\n".join(
        ("## Settlement on the local chain", about, table(HEADS, map(row, found)), targets(full))
    )


if __name__ == "__main__":
    print(section([int(size) for size in sys.argv[1:]] or SIZES))
