"""With which deltas a page took a batch: found in few calls, believed as far as it was signed, and not known while the node lags."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.message import Message

from chain.deltas import encode_deltas
from chain.landed import NodeLies, landed_transaction
from chain.rpc import CONFIRMED, ChainUnavailable
from chain.settlements import settled_deltas
from chain.transactions import SignedTransaction, UnsignedTransaction, signed
from fault_proxy import Fault, FaultProxy


class Pages:
    """An escrow with an agent in each of two pages, and a way to its node that can be broken."""

    def __init__(self, world: Any, proxy: FaultProxy, client: AsyncClient) -> None:
        self.world, self.proxy, self.client = world, proxy, client

    async def settle(self, page: int, *batches: int) -> SignedTransaction:
        """Whole batches of the page alone in one transaction; each moves as many micro-USDC as its number, in page 1 to nobody."""
        building, operator = self.world.escrow._building, self.world.operator
        on_escrow = building.on_escrow("operator", operator)
        steps = [
            step
            for batch in batches
            for step in (
                ("open_batch", on_escrow, (batch, [batch] * 32, 1)),
                ("settle_page", building.on_page(page, "operator", operator), (batch, deltas(page, batch))),
                ("carry_batch" if page else "seal_batch", on_escrow, (batch,)),
            )
        ]
        instructions = [building.instruction(*step) for step in steps]
        recent = await building.blockhash()
        message = Message.new_with_blockhash(instructions, operator.pubkey, recent.value)
        transaction = await signed(
            UnsignedTransaction(bytes(message), recent.last_valid_block_height), [operator]
        )
        await self.world.land(_built(transaction))
        return transaction

    async def took(self, page: int, batch: int, *likely: str) -> tuple[bytes | None, int]:
        """What is found, and in how many transactions it was looked for."""
        before = self.proxy.calls["getTransaction"]
        found = await settled_deltas(self.client, self.world.escrow.addresses, page, batch, likely, CONFIRMED)
        return found, self.proxy.calls["getTransaction"] - before


async def _built(transaction: SignedTransaction) -> SignedTransaction:
    return transaction


def deltas(page: int, batch: int) -> bytes:
    return encode_deltas([(0, -batch)] if page else [(0, batch), (2, -batch)])


@pytest.fixture
async def pages(world: Any) -> AsyncIterator[Pages]:
    agent = await world.agent(16, 1_000)
    await world.land(world.escrow.build_deposit(agent, 0, 2, 1_000))
    await world.land(world.escrow.build_create_page(world.operator, 1))
    other = await world.agent(17, 1_000, page=1)
    await world.land(world.escrow.build_deposit(other, 1, 0, 1_000))
    async with FaultProxy(world.node.url) as proxy:
        client = AsyncClient(proxy.url, timeout=0.5)
        yield Pages(world, proxy, client)
        await client.close()


async def test_a_page_is_looked_through_down_to_an_earlier_batch_and_no_further(pages: Pages) -> None:
    for batches in ((1,), (2,), (3, 4), (5,)):
        await pages.settle(0, *batches)
    await pages.settle(1, 6)
    assert await pages.took(0, 5) == (deltas(0, 5), 1)
    assert await pages.took(0, 3) == (deltas(0, 3), 2)
    assert await pages.took(0, 2) == (deltas(0, 2), 3)
    assert await pages.took(0, 1) == (deltas(0, 1), 4)
    assert await pages.took(1, 6) == (deltas(1, 6), 1)
    # It took none of that number: the first one that is earlier says so.
    assert await pages.took(0, 6) == (None, 1)


async def test_one_of_ours_that_landed_and_is_not_shown_is_asked_for_again_and_nothing_else_is_looked_through(
    pages: Pages,
) -> None:
    build = pages.world.escrow
    await pages.settle(0, 1)
    await pages.world.land(build.build_open_batch(pages.world.operator, 2, bytes(32), 1))
    ours = await build.build_settle_page(pages.world.operator, 2, 0, [(0, 2), (2, -2)])
    unsent = await build.build_settle_page(pages.world.operator, 2, 0, [(0, 3), (2, -3)])
    assert await landed_transaction(pages.client, ours.signature, CONFIRMED) is None
    await pages.world.land(_built(ours))

    pages.proxy.fail("getTransaction", Fault.STALE)
    assert await pages.took(0, 2, ours.signature) == (None, 1)
    assert pages.proxy.calls["getSignaturesForAddress"] == 0
    assert await pages.took(0, 2, ours.signature) == (deltas(0, 2), 1)
    # What never landed says nothing: who did it is found among the page's.
    assert await pages.took(0, 2, unsent.signature) == (deltas(0, 2), 2)


async def test_other_deltas_than_were_signed_are_not_believed(pages: Pages) -> None:
    await pages.settle(0, 1)
    build = pages.world.escrow
    await pages.world.land(build.build_open_batch(pages.world.operator, 2, bytes(32), 1))
    ours = await build.build_settle_page(pages.world.operator, 2, 0, [(0, 2), (2, -2)])
    await pages.world.land(_built(ours))
    for likely in ((ours.signature,), ()):
        pages.proxy.fail("getTransaction", Fault.FORGE)
        with pytest.raises(NodeLies, match="was not signed so") as lie:
            await pages.took(0, 2, *likely)
        assert lie.value.code == "node_lies"
        # Our own transactions call nobody's program, so that one of them settled is not believed either.
        pages.proxy.fail("getTransaction", Fault.NEST)
        assert await pages.took(0, 2, *likely) == (deltas(0, 2), 1)
    pages.proxy.fail("getTransaction", Fault.FORGE)
    with pytest.raises(ChainUnavailable):
        await pages.world.through(pages.client).view.receipt(ours.signature)
    assert pages.proxy.waiting() == 0
