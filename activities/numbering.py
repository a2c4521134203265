"""Whose a batch on chain is. The program numbers batches, and whoever has the operator's key can take the number that ours had on a
fork which the chain gave up, or ours before we open it. The root, which covers our own number, tells most of them apart. It is public
before its batch lands, so a batch with our root is ours only if each page that took it took the very deltas that this ledger has.
"""

import asyncio
from collections.abc import Iterable

from temporalio.exceptions import ApplicationError

from chain.addresses import EscrowAddresses
from chain.escrow import EscrowClient
from chain.escrow_view import READ_AT_ONCE, EscrowSnapshot, EscrowView
from chain.events import BatchOpened, parse_events
from chain.landed import NodeLies
from chain.layout import EscrowState
from chain.rpc import CONFIRMED, FINALIZED
from chain.seals import seal_of
from chain.settlements import settled_deltas
from ledger.settlement import Settlement, StoredBatch, StoredPage, Submission


class Owned:
    """Over the chain, and the ledger that knows what was cut and signed."""

    def __init__(self, escrow: EscrowClient, ledger: Settlement) -> None:
        self._escrow = escrow
        self._ledger = ledger

    async def number_of(self, stored: StoredBatch, commitment: str = CONFIRMED) -> int:
        """The chain's number of our open or recently sealed batch, 0 where it has none. Raises what `took_ours` raises."""
        state = await self._escrow.view.escrow_state(commitment)
        if state is None or not state.numbers_of(stored.root):
            return 0
        snapshot = await self._escrow.view.snapshot(commitment)
        # Those that are sealed first: one that was opened with the same root after ours landed must not get our deltas again.
        opened = snapshot.state.open_batch
        for number in sorted(snapshot.state.numbers_of(stored.root), key=lambda number: number == opened):
            if await self._is_ours(snapshot, stored, number, commitment):
                return number
        return 0

    async def must_be_whole(self, stored: StoredBatch, number: int) -> bool:
        """Whether the batch is sealed under that number, finally. Raises ``other_batch_taken`` when it is and another's, and what
        `took_ours` raises."""
        snapshot = await self._escrow.view.snapshot(FINALIZED)
        if snapshot.state.sealed_batch < number or not must_be_ours(snapshot.state, number, stored):
            return False
        if not await self._is_ours(snapshot, stored, number, FINALIZED):
            raise taken(number, stored)
        return True

    async def seal_of(self, stored: StoredBatch) -> str:
        """Signature of the final transaction that sealed our batch, whoever sent it; empty where the chain shows it no longer, and of
        a batch that had nothing to land. Raises what `took_ours` raises."""
        number = await self.number_of(stored, FINALIZED) if stored.pages else 0
        if not number:
            return ""
        try:
            return await seal_of(self._escrow.client, self._escrow.addresses, number, stored.root)
        except NodeLies as error:
            raise ApplicationError(str(error), type=error.code) from None

    async def _is_ours(
        self, snapshot: EscrowSnapshot, stored: StoredBatch, number: int, commitment: str
    ) -> bool:
        state, took = snapshot.state, {page.index: page.last_batch for page in snapshot.pages}
        if state.open_batch == number and state.pages_total != len(stored.pages):
            return False
        there = [page for page in stored.pages if took.get(page.page, 0) >= number]
        if state.open_batch != number and len(there) < len(stored.pages):
            return False
        window = asyncio.Semaphore(READ_AT_ONCE)

        async def ours(page: StoredPage) -> bool:
            async with window:
                return await self.took_ours(stored, number, page, commitment)

        return all(await asyncio.gather(*map(ours, there)))

    async def took_ours(
        self, stored: StoredBatch, number: int, page: StoredPage, commitment: str = CONFIRMED
    ) -> bool:
        """Whether a page that took the chain's batch `number` took our deltas with it.

        Raises a retryable ``node_behind`` when the node does not show the transaction, and ``node_lies`` when what it shows was not
        signed so: then it is not known with which deltas.
        """
        tried = await self._ledger.submissions(f"batch/{stored.batch}/page/{page.page}")
        try:
            deltas = await settled_deltas(
                self._escrow.client,
                self._escrow.addresses,
                page.page,
                number,
                [one.signature for one in reversed(tried)],
                commitment,
            )
        except NodeLies as error:
            raise ApplicationError(str(error), type=error.code) from None
        if deltas is None:
            raise ApplicationError(
                f"the node does not show what settled page {page.page} of batch {number}", type="node_behind"
            )
        return deltas == page.deltas


def must_be_ours(state: EscrowState, chain_batch: int, stored: StoredBatch) -> bool:
    """Whether the chain shows the batch under that number, open or sealed.

    Raises ``other_batch_taken`` when what it shows there is another's, or was sealed so long ago that it does not say whose: by the
    number alone a batch that others made in its place would count as landed, and its deltas would be lost.
    """
    root = state.root_of(chain_batch)
    if root == stored.root:
        return True
    if root is None and state.sealed_batch < chain_batch:
        return False
    raise taken(chain_batch, stored)


def taken(chain_batch: int, stored: StoredBatch) -> ApplicationError:
    return ApplicationError(
        f"batch {chain_batch} on chain has not the root and the deltas of batch {stored.batch}, {stored.root.hex()}: "
        "somebody else made it",
        type="other_batch_taken",
    )


async def must_not_be_over(
    view: EscrowView, at: EscrowAddresses, state: EscrowState, opened: Iterable[Submission]
) -> None:
    """To be asked before a batch is opened anew that the `state` does not show, by the transactions that `opened` it.

    Raises ``batch_forgotten`` when one of them is final and so many batches were sealed since that the chain keeps no root of its
    number: it may have landed, and would be settled a second time.
    """
    for one in opened:
        receipt = await view.receipt(one.signature, FINALIZED)
        for event in parse_events(receipt.logs, at) if receipt is not None and receipt.succeeded else ():
            if not isinstance(event, BatchOpened) or event.id > state.sealed_batch:
                continue
            if state.sealed_root(event.id) is None:
                raise ApplicationError(
                    f"it was opened as batch {event.id} of the chain, whose root is kept there no more",
                    type="batch_forgotten",
                )
