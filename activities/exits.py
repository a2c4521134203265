"""What owners ask for and take back on chain, alone, into the engine; and what stands against it is closed in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import UNREACHABLE, BooksView, EngineDoor
from activities.heartbeats import heartbeats, pause
from chain.escrow import EscrowClient
from chain.escrow_view import EscrowSnapshot
from chain.layout import Slot
from chain.rpc import FINALIZED
from core.quantities import MONEY_MAX
from matcher.commands import ReduceForExit, ReleaseExit, RequestExit

POLL_S: Final = 5.0
"""Delays are days, and a look reads every page."""


@dataclass
class ExitsSeen:
    """The last look: how many accounts leave, and why the engine did not do what it was told of the last one that it refused."""

    leaving: int = 0
    refused: str = ""


class ExitActivities:
    """Over the engine's door and the chain. A slot says all about its request, so there is no place to go on from."""

    def __init__(self, door: EngineDoor, escrow: EscrowClient) -> None:
        self._door = door
        self._escrow = escrow

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
        if not (await self._door.state()).exits and not any(_asks(one) for one in _slots(snapshot)):
            return ExitsSeen()
        books = await self._door.books()
        asking = _asking(snapshot, books)
        seen = ExitsSeen(len(asking))
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
