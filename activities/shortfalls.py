"""What a landed batch did not do: owners claimed, or their loss limit was reached, between the cut and its landing."""

from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from chain.deltas import decode_deltas
from chain.escrow_view import EscrowView
from chain.rpc import FINALIZED
from ledger.settlement import StoredBatch
from matcher.commands import TakeUnapplied


async def tell_unapplied(door: EngineDoor, view: EscrowView, stored: StoredBatch, chain_batch: int) -> None:
    """Tell the engine what the batch's slots show, so that the next cut starts from what the chain really holds.

    To be called once the batch is sealed, finally, and before it is called final. The chain keeps sums, so a repeat changes nothing.
    """
    state = await view.escrow_state(FINALIZED)
    if state is None or state.sealed_batch < chain_batch:
        raise ApplicationError(f"the node does not show batch {chain_batch} sealed yet", type="node_behind")
    # The escrow keeps the shortfall of the batch that was opened last. Another may have been opened since and given up, which leaves
    # it without a page: then only the slots tell.
    last = (
        state.sealed_batch == chain_batch
        and not state.open_batch
        and state.pages_settled == len(stored.pages)
    )
    if last and not state.shortfall:
        return
    for of in stored.pages:
        page = await view.page(of.page, FINALIZED)
        if page is None or page.last_batch < chain_batch:
            raise ApplicationError(
                f"the node does not show page {of.page} of the batch yet", type="node_behind"
            )
        moved = {slot for slot, _ in decode_deltas(of.deltas)}
        sums = tuple((slot.index, slot.unapplied) for slot in page.slots if slot.index in moved)
        await door.command(TakeUnapplied(stored.batch, of.page, sums))
