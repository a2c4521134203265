"""Steps of a settlement batch: cut, open, settle its pages, seal. Each may be repeated at any time by any worker."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import time_ns
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats
from activities.landing import Build, Done, Lander
from activities.numbering import Owned, must_be_ours, must_not_be_over, taken
from activities.shortfalls import tell_unapplied
from chain.deltas import decode_deltas, encode_deltas
from chain.escrow import EscrowClient
from chain.layout import EscrowState
from chain.rpc import CONFIRMED, FINALIZED
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction
from core.batches import BatchStatus
from core.pages import plan_pages
from core.quantities import SECOND
from ledger.queries import Queries
from ledger.settlement import LANDED, AccountAtCut, Settlement, StoredBatch, Submission
from matcher.commands import AdvanceBatch, CutSettlement
from matcher.rejections import Code

LEDGER_PATIENCE_S: Final = 60.0
"""How long one try waits for the projection of the journal."""
ROLLED_BACK: Final = ("escrow_PagesMissing", "escrow_NoBatchOpen", "escrow_ClearingNegative")
"""Refusals of a step whose earlier steps were seen on chain: pages or the opening are gone, or the debits that pay for credits."""
IDLE_CUT: Final = 300 * SECOND
"""When a cut moved nothing and no fill followed, the next one waits this long: an idle exchange makes no records."""


@dataclass
class Work:
    """What a round has to do: batches by number, 0 for none. `unfinished` was cut before, `due` is to be cut now.

    `held` says why nothing is to be cut, whatever is due.
    """

    unfinished: int
    due: int
    held: str = ""


@dataclass
class BatchPlan:
    """A cut batch: its pages by index, net debits first; how many accounts move and fills it covers; its root in hex.

    `held` instead of all that: the engine cut nothing, for an operator or a difference holds settlement.
    """

    batch: int
    debit_pages: list[int]
    credit_pages: list[int]
    deltas: int
    fills: int
    root: str
    held: bool = False


@dataclass
class PageOf:
    """A page of a batch; `chain_batch` is the number under which the program has the batch."""

    batch: int
    chain_batch: int
    page: int


@dataclass
class SealOf:
    batch: int
    chain_batch: int


@dataclass
class StatusOf:
    """A public status (`core.batches.BatchStatus`) that a batch has reached."""

    batch: int
    status: int


@dataclass
class BatchReceipt:
    """What became of a final batch: `lamports` are all fees paid for it."""

    batch: int
    pages: int
    deltas: int
    fills: int
    lamports: int
    root: str
    seal_signature: str


class SettlementActivities:
    """Over the engine's door, the ledger and the chain; `operator` signs."""

    def __init__(
        self,
        door: EngineDoor,
        ledger: Settlement,
        queries: Queries,
        escrow: EscrowClient,
        lander: Lander,
        operator: Signer,
    ) -> None:
        self._door = door
        self._ledger = ledger
        self._queries = queries
        self._escrow = escrow
        self._lander = lander
        self._operator = operator
        self._owned = Owned(escrow, ledger)

    @activity.defn
    async def next_batch(self) -> Work:
        """What there is to do now, counting every fill that was on disk when this was asked.

        The journal's cuts number the batches. What is stored of a batch may be missing: its step was interrupted, or the database is
        new or an old copy; a batch that is not final yet is then stored again, the same to the byte.
        """
        async with heartbeats():
            # In this order: the engine is never behind what the ledger had got to before it was asked.
            projected = await self._ledger.projected()
            state = await self._door.state()
            if projected > state.seq:
                raise ApplicationError(
                    f"the ledger has record {projected} of a journal that ends at {state.seq}: "
                    "its projections must be made anew by `perpdex ledger rebuild`",
                    type="ledger_ahead",
                )
            await must_be_projected(self._ledger, state.seq)
            newest, status = await self._ledger.last_cut() or (0, BatchStatus.FINAL)
            if status < BatchStatus.FINAL:
                return Work(unfinished=newest, due=0)
            if state.settlement_held:
                return Work(unfinished=0, due=0, held=state.settlement_held)
            return Work(unfinished=0, due=newest + 1 if await self._is_due() else 0)

    @activity.defn
    async def cut_batch(self, batch: int) -> BatchPlan:
        """Have the engine cut, then store deltas by page, and the root over the batch's fills and accounts, in one transaction."""
        async with heartbeats():
            try:
                return _plan(await self._stored(batch))
            except ApplicationError as error:
                if error.type != Code.SETTLEMENT_HELD:
                    raise
                return BatchPlan(batch, [], [], deltas=0, fills=0, root="", held=True)

    @activity.defn
    async def open_batch(self, batch: int) -> int:
        """Open the batch on chain; returns its number there, which lags behind when batches had nothing to land.

        The root tells batches apart, for it covers the batch's own number, and where others copied it, what their pages took does.
        """
        async with heartbeats():
            stored = await self._stored(batch)
            reference = f"batch/{batch}/open"
            if number := await self._owned.number_of(stored):
                tried = await self._ledger.submissions(reference)
                await must_not_be_over(self._escrow.view, self._escrow.addresses, await self._state(), tried)
                # A worker that died as it landed told nobody of its signature and its fee.
                await self._lander.find_landed(tried)
                return number

            async def build(fee: int) -> SignedTransaction:
                state = await self._state()
                if state.open_batch:
                    raise ApplicationError(
                        f"batch {state.open_batch} is open on chain with another root or other deltas",
                        type="other_batch_open",
                    )
                tried = await self._ledger.submissions(reference)
                await must_not_be_over(self._escrow.view, self._escrow.addresses, state, tried)
                pages = len(stored.pages)
                return await self._escrow.build_open_batch(
                    self._operator, state.sealed_batch + 1, stored.root, pages, price=fee
                )

            async def done() -> bool:
                return await self._owned.number_of(stored) > 0

            await self._lander.land(reference, build, done)
            if number := await self._owned.number_of(stored):
                return number
            raise ApplicationError("the node does not show the open batch yet", type="node_behind")

    @activity.defn
    async def settle_page(self, of: PageOf) -> None:
        """Land one page's deltas; the page itself remembers the last batch that it took."""
        async with heartbeats():
            stored = await self._stored(of.batch)
            ours = next(page for page in stored.pages if page.page == of.page)
            deltas = decode_deltas(ours.deltas)

            async def build(fee: int) -> SignedTransaction:
                return await self._escrow.build_settle_page(
                    self._operator, of.chain_batch, of.page, deltas, price=fee
                )

            async def done() -> bool:
                page = await self._escrow.view.page(of.page)
                if page is None or page.last_batch < of.chain_batch:
                    return False
                if not must_be_ours(await self._state(), of.chain_batch, stored):
                    return False
                if not await self._owned.took_ours(stored, of.chain_batch, ours):
                    raise taken(of.chain_batch, stored)
                return True

            plan = _plan(stored)
            before = plan.debit_pages if of.page in plan.credit_pages else []
            await self._land(stored, of.chain_batch, f"batch/{of.batch}/page/{of.page}", build, done, before)

    @activity.defn
    async def seal_batch(self, of: SealOf) -> None:
        """Seal, and return once that is final, and what pages could not do is back in the engine.

        Whatever the batch did before it was sealed is final too. What others with the operator's key took before it and gave to nobody
        is carried on: that stops no batch, and waits until an operator has the books take it over (`AcceptChain`).
        """
        async with heartbeats():
            stored = await self._stored(of.batch)

            async def build(fee: int) -> SignedTransaction:
                left_over = (await self._state()).clearing
                build_seal = self._escrow.build_carry_batch if left_over else self._escrow.build_seal_batch
                return await build_seal(self._operator, of.chain_batch, price=fee)

            async def done() -> bool:
                return await self._owned.must_be_whole(stored, of.chain_batch)

            plan = _plan(stored)
            before = [*plan.debit_pages, *plan.credit_pages]
            reference = f"batch/{of.batch}/seal"
            await self._land(stored, of.chain_batch, reference, build, done, before, FINALIZED)
            await tell_unapplied(self._door, self._escrow.view, stored, of.chain_batch)

    @activity.defn
    async def publish_status(self, of: StatusOf) -> None:
        """Tell engine and ledger, and through them the agents, how far the batch is; with it the fees paid so far.

        The last signature of a final batch is that of its seal, in which proofs find the root for ever: where it is not known, none is
        told.
        """
        async with heartbeats():
            landed = await self._ledger.submissions_of_batch(of.batch, LANDED)
            await self._lander.missing_fees(landed)
            await self._ledger.record_lamports(of.batch)
            signatures = tuple(one.signature for one in landed)
            if of.status == BatchStatus.FINAL:
                signatures = await self._up_to_the_seal(of.batch, landed)
            await self._door.command(AdvanceBatch(of.batch, of.status, signatures))
            await self._ledger.advance(of.batch, BatchStatus(of.status))

    @activity.defn
    async def batch_receipt(self, batch: int) -> BatchReceipt:
        async with heartbeats():
            stored = await self._stored(batch)
        seals = await self._ledger.submissions(f"batch/{batch}/seal")
        return BatchReceipt(
            batch=batch,
            pages=len(stored.pages),
            deltas=stored.deltas,
            fills=stored.fills,
            lamports=stored.lamports,
            root=stored.root.hex(),
            seal_signature=next((one.signature for one in seals if one.status == LANDED), ""),
        )

    async def _land(
        self,
        stored: StoredBatch,
        chain_batch: int,
        reference: str,
        build: Build,
        done: Done,
        before: Sequence[int],
        commitment: str = CONFIRMED,
    ) -> None:
        """Land a step of an open batch. What earlier steps did was confirmed and is not final: when the chain took another fork, the
        program says that something is missing, and the opening and the pages `before` this step are landed again first. On that fork
        others may have taken the batch's number."""
        try:
            await self._lander.land(reference, build, done, commitment)
        except ApplicationError as error:
            if error.type not in ROLLED_BACK:
                raise
            must_be_ours(await self._state(), chain_batch, stored)
            if await self.open_batch(stored.batch) != chain_batch:
                raise taken(chain_batch, stored) from None
            for page in before:
                await self.settle_page(PageOf(stored.batch, chain_batch, page))
            await self._lander.land(reference, build, done, commitment)

    async def _up_to_the_seal(self, batch: int, landed: Sequence[Submission]) -> tuple[str, ...]:
        """What landed for a final batch, its seal last. That is not ours where somebody else with the operator's key was quicker, and
        the ledger has not ours where it was lost since: then the chain is asked."""
        seal = next((one.signature for one in landed if one.reference == f"batch/{batch}/seal"), "")
        seal = seal or await self._owned.seal_of(await self._stored(batch))
        return (*(one.signature for one in landed if one.signature != seal), seal) if seal else ()

    async def _is_due(self) -> bool:
        totals = await self._queries.totals()
        if totals.fills > totals.final_fills:
            return True
        last = await self._ledger.last_batch()
        return last is not None and (bool(last.pages) or last.at + IDLE_CUT <= time_ns())

    async def _stored(self, batch: int) -> StoredBatch:
        """The batch as it was cut, stored again when the ledger has lost it: the engine keeps the last cut."""
        stored = await self._ledger.load_batch(batch)
        if stored is not None:
            return stored
        await self._door.command(CutSettlement(batch))
        cut = await self._door.cut(batch)
        await must_be_projected(self._ledger, cut.seq)
        deltas = ((one.page, one.slot, one.delta) for one in cut.accounts if one.delta)
        plans = plan_pages(deltas, cut.left_over)
        return await self._ledger.store_batch(
            batch,
            cut.at,
            cut.previous_seq,
            cut.seq,
            [AccountAtCut(one.account, one.balance, one.equity) for one in cut.accounts],
            [(plan, encode_deltas(plan.deltas)) for plan in plans],
        )

    async def _state(self) -> EscrowState:
        state = await self._escrow.view.escrow_state()
        if state is None:
            raise ApplicationError("the escrow is not initialized", type="escrow_missing")
        return state


async def must_be_projected(ledger: Settlement, sequence: int) -> None:
    """Return once the ledger has everything up to that journal sequence. Raises a retryable `ledger_behind` when it takes long."""
    try:
        async with asyncio.timeout(LEDGER_PATIENCE_S):
            await ledger.wait_projected(sequence)
    except TimeoutError:
        raise ApplicationError(
            f"the ledger has not got to journal sequence {sequence}", type="ledger_behind"
        ) from None


def _plan(stored: StoredBatch) -> BatchPlan:
    return BatchPlan(
        batch=stored.batch,
        debit_pages=[page.page for page in stored.pages if page.net < 0],
        credit_pages=[page.page for page in stored.pages if page.net >= 0],
        deltas=stored.deltas,
        fills=stored.fills,
        root=stored.root.hex(),
    )
