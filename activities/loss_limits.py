"""What owners' loss limits on chain leave settlement to take, into the engine: beyond it nothing backs a trade there."""

from activities.engine_door import BooksView, EngineDoor
from activities.sides import landed, number_of
from chain.escrow_view import EscrowSnapshot, EscrowView
from chain.layout import Slot
from chain.rpc import FINALIZED
from core.batches import BatchStatus
from core.loss_limit_events import NO_LIMIT
from core.quantities import MONEY_MAX
from ledger.settlement import Settlement, StoredBatch
from matcher.commands import LimitedSlot, SeeLossLimits


class LossLimitWatch:
    """Over the engine's door, the chain, and the ledger, which has the root by which the chain shows a batch."""

    def __init__(self, door: EngineDoor, view: EscrowView, ledger: Settlement) -> None:
        self._door = door
        self._view = view
        self._ledger = ledger

    async def look(self) -> None:
        """Tell the engine of every slot that has a limit, or had one as far as it knows. A repeat changes nothing.

        Engine, clock and chain are read in this order: what is final in the engine is in the view, and no window begins before it does
        on chain. While it is not known which pages took the last batch nothing is told: the next look is soon.
        """
        books = await self._door.books()
        stored = await self._ledger.load_batch(books.batch) if books.batch else None
        clock = await self._view.clock(FINALIZED)
        snapshot = await self._view.snapshot(FINALIZED)
        if not _shows(books, stored, snapshot):
            return
        final = books.status == BatchStatus.FINAL
        window_s = snapshot.state.settings.limits.loss_window
        known = {one.account for one in books.loss_limits}
        bound = {(one.page, one.slot): (one.account, one.owner) for one in books.accounts}
        for page in snapshot.pages:
            slots = tuple(
                _seen(slot, clock, window_s)
                for slot in page.slots
                if (slot.lowest_limit is not None or slot.account in known)
                and bound.get((page.index, slot.index)) == (slot.account, str(slot.owner))
            )
            if slots:
                took = final or (stored is not None and landed(snapshot, stored.root, page.index))
                await self._door.command(SeeLossLimits(books.batch, took, slots))


def _shows(books: BooksView, stored: StoredBatch | None, snapshot: EscrowSnapshot) -> bool:
    """Whether the view tells which pages took the last batch that was cut."""
    if books.status != BatchStatus.FINAL:
        # It is stored before anything of it is sent.
        return stored is not None
    # One that the ledger has lost since is final all the same; a node that shows less is behind.
    return stored is None or not stored.pages or number_of(snapshot.state, stored.root) > 0


def _seen(slot: Slot, clock: int, window_s: int) -> LimitedSlot:
    limit, left = slot.lowest_limit, slot.loss_left(clock, window_s)
    if limit is None or left is None:
        return LimitedSlot(slot.account, NO_LIMIT, 0, slot.unapplied)
    return LimitedSlot(slot.account, min(limit, MONEY_MAX), min(left, MONEY_MAX), slot.unapplied)
