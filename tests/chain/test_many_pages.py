"""More pages than one answer of a node holds, read as of one moment while money moves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.types import TxOpts

from chain.escrow_view import ACCOUNTS_PER_CALL
from chain.rpc import FINALIZED, ChainUnavailable
from fault_proxy import Fault, FaultProxy

PAGES = ACCOUNTS_PER_CALL - 1
"""With the escrow, the vault and the clock they are two more than one answer takes."""
FIRST, THEN = 5_000_001, 2_000_003
READ = "getMultipleAccounts"


@pytest.fixture
async def proxy(world: Any) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(world.node.url) as proxy:
        yield proxy


@pytest.fixture
async def seen(world: Any, proxy: FaultProxy) -> AsyncIterator[Any]:
    """Through the proxy, an escrow with many pages; an agent in the last one has paid in, and was seen with that."""
    at_once = TxOpts(skip_preflight=True)
    for index in range(1, PAGES):
        page = await world.escrow.build_create_page(world.operator, index)
        await world.escrow.client.send_raw_transaction(page.raw, at_once)
    agent = await world.agent(16, FIRST + THEN, page=PAGES - 1)
    await world.land(world.escrow.build_deposit(agent, PAGES - 1, 0, FIRST), FINALIZED)
    client = AsyncClient(proxy.url)
    view = world.through(client).view
    snapshot = await view.snapshot()
    assert (snapshot.vault, snapshot.promised, len(snapshot.pages)) == (FIRST, FIRST, PAGES)
    await world.land(world.escrow.build_deposit(agent, PAGES - 1, 0, THEN), FINALIZED)
    yield view
    await client.close()


def moves(proxy: FaultProxy, looks: int) -> None:
    """In the next `looks` one of the two answers with pages is of before the second deposit, the other one of after it."""
    for _ in range(looks):
        proxy.fail(READ, None, times=2)
        proxy.fail(READ, Fault.STALE)


async def test_answers_of_two_moments_are_asked_for_again_after_longer_and_longer_pauses(
    proxy: FaultProxy, seen: Any
) -> None:
    moves(proxy, 4)
    asked, loop = proxy.calls[READ], asyncio.get_running_loop()
    began = loop.time()
    snapshot = await seen.snapshot()
    assert loop.time() - began >= 0.05 + 0.1 + 0.2 + 0.4
    assert (proxy.waiting(), proxy.calls[READ] - asked) == (0, 5 * 3)
    assert snapshot.vault == snapshot.promised == snapshot.state.deposits == FIRST + THEN
    assert snapshot.pages[PAGES - 1].slots[0].balance == FIRST + THEN
    # What never holds still is not known, and is not asked for without end.
    moves(proxy, 8)
    with pytest.raises(ChainUnavailable, match="too fast"):
        await seen.snapshot()
    assert proxy.waiting() == 0
