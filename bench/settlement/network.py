"""The whole exchange as `perpdex up` starts it, without agents, with thousands of accounts in it before the API takes over."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from temporalio.client import Client

from activities.deposits import DepositCursor
from activities.schedules import DEPOSITS_ID, SETTLEMENT_ID
from activities.settlement import BatchReceipt
from bench.settlement.accounts import HOLDING, Opener, places
from bench.settlement.history import populate, trade
from chain.deltas import SLOTS_PER_PAGE
from cli.probes import rpc
from cli.stack import Stack
from core import events as e
from core.batches import BatchStatus
from ledger.database import open_pool
from ledger.settlement import Settlement
from matcher.recovery import replay
from places import database_url, rpc_url
from settings import Settings
from wiring import escrow_client, operator_signer, temporal_client
from workflows.deposits import DepositsState, DepositsWorkflow
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

LAMPORTS: Final = 10**10
"""Test SOL for each owner's deposits."""


class Paid(NamedTuple):
    """What a batch's transactions were: bytes of the largest page, units of all pages, lamports of pages and of everything."""

    bytes_max: int
    units: int
    page_lamports: int
    lamports: int


class Network(Stack):
    """A stack with `accounts` accounts that have slots and deposits, credited before its worker first looks."""

    def __init__(self, settings: Settings, accounts: int, say: Callable[[str], None]) -> None:
        super().__init__(settings, say)
        self._tell = say
        self.journal = self.settings.perpdex_data / "journal"
        self.accounts = places(accounts)

    def start_api(self) -> None:
        """The first time, accounts are made just before: the chain and Temporal are there by then, the worker is not."""
        if not self.journal.exists():
            asyncio.run(self._populate())
        super().start_api()

    def trade(self, count: int) -> None:
        """Fills between the first `count` accounts, made while the API is away."""
        self.child("api").stop()
        asyncio.run(trade(self.journal, self.accounts[:count]))
        super().start_api()

    async def settle(self) -> tuple[BatchReceipt, Paid]:
        """One batch through the settlement workflow."""
        client = await temporal_client(self.settings)
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
        receipt = await settle_now(handle)
        assert receipt is not None
        return receipt, await self._paid(receipt.batch)

    async def _populate(self) -> None:
        self._fund()
        escrow = await escrow_client(self.settings)
        try:
            async with operator_signer(self.settings) as operator:
                deposits = await Opener(escrow, operator, self._tell).open(self.accounts)
        finally:
            await escrow.client.close()
        self._tell("registering, binding and crediting them in the engine")
        await populate(self.journal, self.accounts, deposits)
        newest = deposits[-1].key.partition(":")[0]
        cursor = DepositCursor(newest, found=len(deposits), checked=newest, checked_found=len(deposits))
        await self._watch_from(await temporal_client(self.settings), cursor)

    def _fund(self) -> None:
        share = SLOTS_PER_PAGE * (HOLDING + self.accounts[-1].account)
        for owner in {place.owner for place in self.accounts}:
            for method, amount in (("requestAirdrop", LAMPORTS), ("perpdexMintTestUsdc", share)):
                rpc(rpc_url(self.settings), method, str(owner.pubkey), amount)

    async def _watch_from(self, client: Client, cursor: DepositCursor) -> None:
        """Have deposits watched from here on: asking for each of those credited already would take minutes."""
        await client.start_workflow(
            DepositsWorkflow.run,
            DepositsState(cursor),
            id=DEPOSITS_ID,
            task_queue=self.settings.task_queue,
        )

    async def _paid(self, batch: int) -> Paid:
        pool, escrow = open_pool(database_url(self.settings)), await escrow_client(self.settings)
        try:
            sent = await Settlement(pool).submissions_of_batch(batch)
            pages = [one for one in sent if "/page/" in one.reference]
            receipts = [await escrow.view.receipt(one.signature) for one in pages]
        finally:
            await escrow.client.close()
            await pool.dispose()
        return Paid(
            max(len(one.raw) for one in pages),
            sum(receipt.units for receipt in receipts if receipt),
            sum(one.lamports for one in pages),
            sum(one.lamports for one in sent),
        )

    def reached(self) -> dict[int, dict[BatchStatus, int]]:
        """When each batch reached each status, in nanoseconds as the journal has it; the cut itself is `BATCHED`. After `stop`."""
        found: dict[int, dict[BatchStatus, int]] = {}

        def visit(sequence: int, event: e.Event) -> None:
            if isinstance(event, e.SettlementCut):
                found[event.batch] = {BatchStatus.BATCHED: event.at}
            elif isinstance(event, e.BatchAdvanced):
                found[event.batch][BatchStatus(event.status)] = event.at

        replay(self.journal, 0, visit)
        return found
