"""Places on chain for new accounts: one slot each, opened by the operator and then bound in the engine."""

import asyncio
from time import monotonic
from typing import Final

from solders.pubkey import Pubkey
from temporalio import activity

from activities.engine_door import EngineDoor, Unbound
from activities.heartbeats import heartbeats, pause
from activities.landing import Lander
from chain.deltas import SLOTS_PER_PAGE
from chain.escrow import EscrowClient
from chain.layout import Page
from chain.rpc import FINALIZED
from chain.signers.interface import Signer
from chain.transactions import SignedTransaction
from matcher.commands import BindSlot

POLL_S: Final = 1.0
AT_ONCE: Final = 16
"""Transactions on their way at one time."""


class SlotActivities:
    """There is one watcher. It asks the chain before it signs, so that an account never gets two slots."""

    def __init__(self, door: EngineDoor, escrow: EscrowClient, lander: Lander, operator: Signer) -> None:
        self._door = door
        self._escrow = escrow
        self._lander = lander
        self._operator = operator

    @activity.defn
    async def watch_unbound(self, seconds: float) -> int:
        """Give every unbound account a slot, for some seconds; returns how many were bound."""
        until, bound = monotonic() + seconds, 0
        while True:
            async with heartbeats():
                unbound = await self._door.unbound()
                if unbound:
                    bound += await self._place(unbound)
            if monotonic() >= until or not await pause(POLL_S):
                return bound

    async def _place(self, unbound: list[Unbound]) -> int:
        pages = await self._escrow.view.pages()
        there = _accounts(pages)
        missing = [one for one in unbound if _named(one) not in there]
        window = asyncio.Semaphore(AT_ONCE)

        async def open_one(one: Unbound, page: int) -> None:
            async with window:
                await self._open(one, page)

        await asyncio.gather(
            *(
                open_one(one, page)
                for one, page in zip(missing, await self._free(pages, len(missing)), strict=True)
            )
        )
        # Once bound it stays: a slot that is confirmed can still turn out to be somebody else's, on another fork.
        there = _accounts(await self._escrow.view.pages(FINALIZED))
        for one in unbound:
            if _named(one) in there:
                await self._door.command(BindSlot(one.account, *there[_named(one)]))
        return sum(_named(one) in there for one in unbound)

    async def _free(self, pages: tuple[Page, ...], wanted: int) -> list[int]:
        """A page with a free slot for each of `wanted` accounts; adds pages when all are full."""
        free = [page.index for page in pages for _ in range(SLOTS_PER_PAGE - len(page.slots))]
        count = len(pages)
        while len(free) < wanted:
            await self._add_page(count)
            free += [count] * SLOTS_PER_PAGE
            count += 1
        return free[:wanted]

    async def _add_page(self, index: int) -> None:
        async def build(fee: int) -> SignedTransaction:
            return await self._escrow.build_create_page(self._operator, index, price=fee)

        async def done() -> bool:
            return await self._escrow.view.page(index) is not None

        await self._lander.land(f"page/{index}", build, done)

    async def _open(self, one: Unbound, page: int) -> None:
        async def build(fee: int) -> SignedTransaction:
            owner = Pubkey.from_string(one.owner)
            return await self._escrow.build_open_account(self._operator, page, owner, one.account, price=fee)

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
