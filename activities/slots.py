"""Places on chain for new accounts: one slot each, opened by the operator and then bound in the engine."""

import asyncio
from time import monotonic
from typing import Final, NamedTuple

from solders.pubkey import Pubkey
from temporalio import activity

from activities.engine_door import EngineDoor, Unbound
from activities.heartbeats import heartbeats, pause
from activities.landing import Lander
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import EscrowClient
from chain.layout import Page
from chain.rpc import CONFIRMED, FINALIZED
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction
from matcher.commands import BindSlot

POLL_S: Final = 1.0
AT_ONCE: Final = 16
"""Transactions on their way at one time."""


class Room(NamedTuple):
    """Where an account has room: in a slot that was given up, or, without one, in the page's next."""

    page: int
    slot: int | None = None


class SlotActivities:
    """A slot costs the operator, and registering costs nothing: only an owner gets one that has something to put into it.

    Whoever watches asks the chain before it signs, and of all that watch at a time only one signs for an account, whatever pages
    they have in mind (`Lander.keep`): the program keeps an account from two slots of a page only.
    """

    def __init__(
        self, door: EngineDoor, escrow: EscrowClient, lander: Lander, operator: Signer, funds_min: int
    ) -> None:
        """`funds_min`: micro-USDC that an owner's wallet must hold for each slot that is opened for it."""
        self._door = door
        self._escrow = escrow
        self._lander = lander
        self._operator = operator
        self._funds_min = max(1, funds_min)
        self._after = 0

    @activity.defn
    async def watch_unbound(self, seconds: float) -> int:
        """Give every unbound account a slot whose owner has funds, for some seconds; returns how many were bound."""
        until, bound = monotonic() + seconds, 0
        while True:
            async with heartbeats():
                unbound = await self._door.unbound(self._after)
                self._after = unbound.next
                if unbound.accounts:
                    opened = await self._place(unbound.accounts)
                    activity.metric_meter().create_counter(
                        "perpdex_slots_opened", "Accounts that got a slot"
                    ).add(opened)
                    bound += opened
            if monotonic() >= until or not await pause(POLL_S):
                return bound

    async def _place(self, unbound: list[Unbound]) -> int:
        pages = (await self._escrow.view.snapshot(CONFIRMED)).pages
        there = _accounts(pages)
        missing = await self._with_funds([one for one in unbound if _named(one) not in there])
        window = asyncio.Semaphore(AT_ONCE)

        async def open_one(one: Unbound, room: Room) -> None:
            async with window:
                await self._open(one, room)

        rooms = await self._free(pages, len(missing)) if missing else []
        opened = await asyncio.gather(*map(open_one, missing, rooms), return_exceptions=True)
        # Once bound it stays: a slot that is confirmed can still turn out to be somebody else's, on another fork.
        there = _accounts((await self._escrow.view.snapshot(FINALIZED)).pages)
        for one in unbound:
            if _named(one) in there:
                await self._door.command(BindSlot(one.account, *there[_named(one)]))
        # One that could not be opened must not keep the others from their slots.
        for failure in opened:
            if failure is not None:
                raise failure
        return sum(_named(one) in there for one in unbound)

    async def _with_funds(self, unbound: list[Unbound]) -> list[Unbound]:
        """Those whose owner's wallet holds what a slot asks for, finally: what it holds counts once for each of its accounts."""
        owners = sorted({one.owner for one in unbound})
        wallets = [self._escrow.wallet_of(Pubkey.from_string(owner)) for owner in owners]
        left = dict(zip(owners, await self._escrow.view.tokens(wallets), strict=True))
        found = []
        for one in unbound:
            left[one.owner] -= self._funds_min
            if left[one.owner] >= 0:
                found.append(one)
        return found

    async def _free(self, pages: tuple[Page, ...], wanted: int) -> list[Room]:
        """Room for each of `wanted` accounts: slots of closed accounts first; adds pages when there is too little."""
        free = (
            await self._given_up() if any(slot.closed_batch for page in pages for slot in page.slots) else []
        )
        free += [Room(page.index) for page in pages for _ in range(SLOTS_PER_PAGE - len(page.slots))]
        count = len(pages)
        while len(free) < wanted:
            await self._add_page(count)
            free += [Room(count)] * SLOTS_PER_PAGE
            count += 1
        return free[:wanted]

    async def _given_up(self) -> list[Room]:
        """Slots that may be another's: finally closed and empty, no batch under way that was cut before, and the engine has done with
        whoever had them. It is asked once it has booked all that owners took, since who claims may owe afterwards.

        Never one that paid a withdrawal of a number which the exchange has not given: the slot keeps that for good, the books took it
        over, if ever, for whoever had it, and of the newcomer they could never agree. Nor one that was accepted as none of the books'.
        """
        snapshot = await self._escrow.view.snapshot(FINALIZED)
        books = await self._door.books()
        if not books.booked(snapshot.state.exits):
            return []
        done_with, strangers = set(books.done_with), set(books.strangers)
        return [
            Room(page.index, slot.index)
            for page in snapshot.pages
            for slot in page.slots
            if 0 < slot.closed_batch <= snapshot.state.sealed_batch
            and not slot.balance
            and slot.account in done_with
            and slot.last_withdrawal <= books.last_withdrawal
            and (page.index, slot.index) not in strangers
        ]

    async def _add_page(self, index: int) -> None:
        async def build(fee: int) -> SignedTransaction:
            return await self._escrow.build_create_page(self._operator, index, price=fee)

        async def done() -> bool:
            return await self._escrow.view.page(index) is not None

        await self._lander.land(f"page/{index}", build, done)

    async def _open(self, one: Unbound, room: Room) -> None:
        async def build(fee: int) -> SignedTransaction:
            owner = Pubkey.from_string(one.owner)
            if room.slot is None:
                return await self._escrow.build_open_account(
                    self._operator, room.page, owner, one.account, price=fee
                )
            return await self._escrow.build_reuse_slot(
                self._operator, room.page, owner, one.account, room.slot, price=fee
            )

        async def done() -> bool:
            return await self._escrow.view.slot_of(one.account, owner=one.owner) is not None

        await self._lander.land(f"slot/{one.account}", build, done)


def _accounts(pages: tuple[Page, ...]) -> dict[tuple[int, str], tuple[int, int]]:
    """Page and slot of every account and owner on chain: who stole the operator's key can give an account's number to another owner.

    Of several the first.
    """
    return {
        (slot.account, str(slot.owner)): (page.index, slot.index)
        for page in reversed(pages)
        for slot in reversed(page.slots)
    }


def _named(one: Unbound) -> tuple[int, str]:
    return one.account, one.owner
