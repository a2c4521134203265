"""Slots for new accounts: one each, whoever opens it and however many pages there are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor, Unbound
from activities.landing import Lander
from activities.slots import SlotActivities
from chain.localnet.fault_proxy import Fault, FaultProxy
from chain.rpc import ChainUnavailable

NEWCOMER = 17
PAGES = 3


class Watchers:
    """Workers, of whom each believes that another page has room."""

    def __init__(self, world: Any, ledger: Any, door_url: str, proxy: FaultProxy) -> None:
        self.world, self.proxy = world, proxy
        self.client, self.door = AsyncClient(proxy.url, timeout=0.5), EngineDoor(door_url, "token")
        escrow = world.through(self.client)
        self.steps = [
            SlotActivities(self.door, escrow, Lander(ledger, escrow), world.operator) for _ in range(PAGES)
        ]
        self.one = Unbound(NEWCOMER, str(world.node.funded().pubkey))

    async def open(self, page: int) -> None:
        """As Temporal has it done: until it is done."""
        for _ in range(20):
            try:
                return await self.steps[page]._open(self.one, page)
            except (ApplicationError, ChainUnavailable):
                await asyncio.sleep(0.05)
        raise AssertionError("no slot was opened")

    async def pages_with(self, account: int) -> list[int]:
        """Pages in which the account has a slot, once all that was sent is decided."""
        height = self.world.node.call("getBlockHeight")
        while self.world.node.call("getBlockHeight") < height + 10:
            await asyncio.sleep(0.02)
        pages = await self.world.escrow.view.pages()
        return [page.index for page in pages for slot in page.slots if slot.account == account]


@pytest.fixture
async def watchers(world: Any, ledger: Any, door_server: Any) -> AsyncIterator[Watchers]:
    for page in range(1, PAGES):
        await world.land(world.escrow.build_create_page(world.operator, page))
    async with FaultProxy(world.node.url) as proxy:
        watchers = Watchers(world, ledger, door_server.url, proxy)
        yield watchers
        await watchers.client.close()
        await watchers.door.close()


@pytest.mark.cell("watch_unbound: open", "duplicate")
async def test_workers_that_mean_different_pages_open_one_slot(watchers: Watchers) -> None:
    await asyncio.gather(*(watchers.open(page) for page in range(PAGES)))
    assert len(await watchers.pages_with(NEWCOMER)) == 1


@pytest.mark.cell("watch_unbound: open", "reply lost")
async def test_a_retry_that_means_another_page_opens_no_second_slot(watchers: Watchers) -> None:
    watchers.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    first = asyncio.create_task(watchers.open(0))
    while watchers.proxy.waiting():
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await watchers.open(1)
    assert await watchers.pages_with(NEWCOMER) == [0]


@pytest.mark.cell("watch_unbound: open", "RPC lies")
async def test_a_lie_about_live_bytes_opens_no_second_slot(watchers: Watchers) -> None:
    watchers.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    watchers.proxy.fail("getSignatureStatuses", Fault.BUSY, times=2)
    watchers.proxy.fail("getEpochInfo", Fault.LIE)
    await asyncio.gather(watchers.open(0), watchers.open(2))
    assert len(await watchers.pages_with(NEWCOMER)) == 1
