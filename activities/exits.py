"""What owners decide on chain, alone, into the engine: to leave, and what settlement may take of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import UNREACHABLE, BooksView, EngineDoor
from activities.heartbeats import heartbeats, pause
from activities.loss_limits import LossLimitWatch
from chain.escrow import EscrowClient
from chain.escrow_view import EscrowSnapshot
from chain.layout import Slot
from chain.rpc import FINALIZED
from core.quantities import MONEY_MAX
from ledger.settlement import Settlement
from matcher.commands import ReduceForExit, ReleaseExit, RequestExit, SeeExitDelay

POLL_S: Final = 5.0
"""Delays are days, and a look reads every page."""


@dataclass
class ExitsSeen:
    """The last look: how many accounts leave, why the engine did not do what it was told of the last one that it refused, and in how
    many slots settlement may take only so much."""

    leaving: int = 0
    refused: str = ""
    limited: int = 0


class ExitActivities:
    """Over the engine's door and the chain. A slot says all about its owner's wishes, so there is no place to go on from."""

    def __init__(self, door: EngineDoor, escrow: EscrowClient, ledger: Settlement) -> None:
        self._door = door
        self._escrow = escrow
        self._limits = LossLimitWatch(door, escrow.view, ledger)

    @activity.defn
    async def watch_exits(self, seconds: float) -> ExitsSeen:
        """Tell the engine for some seconds what stands in the pages, finalized. A repeat changes nothing."""
        until = monotonic() + seconds
        while True:
            async with heartbeats():
                seen = await self._look()
            activity.metric_meter().create_gauge("perpdex_exits_requested", "Accounts that ask to leave").set(
                seen.leaving
            )
            if monotonic() >= until or not await pause(POLL_S):
                return seen

    async def _look(self) -> ExitsSeen:
        if await self._escrow.view.escrow_state(FINALIZED) is None:
            return ExitsSeen()
        snapshot = await self._escrow.view.snapshot(FINALIZED)
        if snapshot is None:
            return ExitsSeen()
        state, delay = await self._door.state(), snapshot.state.settings.limits.exit_delay
        if state.exit_delay != delay:
            await self._door.command(SeeExitDelay(delay))
        limited = sum(one.lowest_limit is not None for one in _slots(snapshot))
        if limited or state.loss_limits:
            await self._limits.look()
        if not state.exits and not any(_asks(one) for one in _slots(snapshot)):
            return ExitsSeen(limited=limited)
        books = await self._door.books()
        asking = _asking(snapshot, books)
        seen = ExitsSeen(len(asking), limited=limited)
        for account, slot in asking.items():
            try:
                await self._door.command(RequestExit(account, min(slot.pending, MONEY_MAX), slot.exit_at))
                await self._door.command(ReduceForExit(account, snapshot.state.exits))
            except ApplicationError as error:
                if error.type == UNREACHABLE:
                    raise
                # A market that cannot be valued or traded now is looked at again next time.
                seen.refused = f"account {account}: {error.message}"
        for one in books.exits:
            if one.account not in asking:
                await self._door.command(ReleaseExit(one.account, snapshot.state.exits))
        return seen


def _asking(snapshot: EscrowSnapshot, books: BooksView) -> dict[int, Slot]:
    """Slots in which something is asked for, by the account that the books have in them."""
    bound = {(one.page, one.slot): (one.account, one.owner) for one in books.accounts}
    return {
        slot.account: slot
        for page in snapshot.pages
        for slot in page.slots
        if _asks(slot) and bound.get((page.index, slot.index)) == (slot.account, str(slot.owner))
    }


def _slots(snapshot: EscrowSnapshot) -> Iterator[Slot]:
    return (slot for page in snapshot.pages for slot in page.slots)


def _asks(slot: Slot) -> bool:
    return slot.exit_at > 0 and slot.pending > 0
