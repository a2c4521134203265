"""What owners' loss limits on chain leave settlement to take, into the engine: beyond it nothing backs a trade there."""

from bisect import bisect_right
from typing import NamedTuple

from activities.engine_door import PLACES_MAX, EngineDoor, LimitsView, OrderedSlot
from activities.sides import landed
from chain.escrow_view import EscrowSnapshot, EscrowView
from chain.layout import Slot
from chain.rpc import FINALIZED
from core.batches import BatchStatus
from core.loss_limit_events import NO_LIMIT
from core.quantities import MONEY_MAX
from ledger.settlement import Settlement, StoredBatch
from matcher.commands import LimitedSlot, SeeLossLimits


class Told(NamedTuple):
    """What the engine was last told of a page, and after how much of its last batch."""

    status: int
    seen: SeeLossLimits


class LossLimitWatch:
    """Over the engine's door, the chain, and the ledger, which has the root by which the chain shows a batch.

    It remembers what the engine said of slots, which stay where they are as long as they are an account's, and what it was told.
    """

    def __init__(self, door: EngineDoor, view: EscrowView, ledger: Settlement) -> None:
        self._door = door
        self._view = view
        self._ledger = ledger
        self._places: dict[int, OrderedSlot] = {}
        self._known: set[int] = set()
        self._asked = 0
        self._told: dict[int, Told] = {}

    def forget(self) -> None:
        """Tell everything anew at the next look, whatever the engine did not take."""
        self._told.clear()

    async def look(self, first: EscrowSnapshot) -> None:
        """Tell the engine of every slot that has a limit, or had one as far as it knows, when that changed or a batch went on.

        `first` is a view of the pages from before this look, with the slots to ask about. However many accounts there are, one look
        costs the engine one answer, with a few bytes for each limit that there is and a line for each of at most `PLACES_MAX` slots
        whose place is not known yet, and one command for each page where something changed. A repeat changes nothing.

        Engine, clock and chain are read in this order: what is final in the engine is in the view, and no window begins before it does
        on chain. While it is not known which pages took the last batch nothing is told: the next look is soon.
        """
        limits = await self._ask(first)
        stored = await self._ledger.load_batch(limits.batch) if limits.batch else None
        clock = await self._view.clock(FINALIZED)
        snapshot = await self._view.snapshot(FINALIZED)
        if snapshot.slot < first.slot or not _shows(limits, stored, snapshot):
            return
        final = limits.status == BatchStatus.FINAL
        window_s = snapshot.state.settings.limits.loss_window
        for page in snapshot.pages:
            slots = tuple(
                _seen(slot, clock, window_s)
                for slot in page.slots
                if (slot.lowest_limit is not None or slot.account in self._known)
                and self._places.get(slot.account)
                == OrderedSlot(slot.account, str(slot.owner), page.index, slot.index)
            )
            if slots:
                took = final or (stored is not None and landed(snapshot, stored.root, page.index))
                told = Told(limits.status, SeeLossLimits(limits.batch, took, slots))
                if self._told.get(page.index) != told:
                    await self._door.command(told.seen)
                    self._told[page.index] = told

    async def _ask(self, view: EscrowSnapshot) -> LimitsView:
        """Whose limits the engine knows, and where the slots are of those of whom that is not known yet: of many some, in turn."""
        limited = {
            slot.account
            for page in view.pages
            for slot in page.slots
            if slot.lowest_limit is not None or slot.account in self._known
        }
        unplaced = sorted(limited - self._places.keys())
        begin = bisect_right(unplaced, self._asked)
        turn = (unplaced[begin:] + unplaced[:begin])[:PLACES_MAX]
        limits = await self._door.loss_limits(turn)
        self._asked = turn[-1] if turn else 0
        self._known = set(limits.limited)
        self._places |= {one.account: one for one in limits.places}
        return limits


def _shows(limits: LimitsView, stored: StoredBatch | None, snapshot: EscrowSnapshot) -> bool:
    """Whether the view tells which pages took the last batch that was cut."""
    if limits.status != BatchStatus.FINAL:
        # It is stored before anything of it is sent.
        return stored is not None
    # One that the ledger has lost since is final all the same; a node that shows less is behind.
    return stored is None or not stored.pages or snapshot.state.number_of(stored.root) > 0


def _seen(slot: Slot, clock: int, window_s: int) -> LimitedSlot:
    limit, left = slot.lowest_limit, slot.loss_left(clock, window_s)
    if limit is None or left is None:
        return LimitedSlot(slot.account, NO_LIMIT, 0, slot.unapplied)
    return LimitedSlot(slot.account, min(limit, MONEY_MAX), min(left, MONEY_MAX), slot.unapplied)
