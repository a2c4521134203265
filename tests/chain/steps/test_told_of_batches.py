"""What the engine is told of a batch after the chain was read: nothing while a node lies or stands still, and then all of it."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.settlement import PageOf, SealOf, SettlementActivities, StatusOf
from activities.shortfalls import tell_unapplied
from chain.events import parse_events
from chain.rpc import FINALIZED, ChainUnavailable
from core.batches import BatchStatus
from fault_proxy import Fault, FaultProxy
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.settlement import LANDED


class Reader:
    """A worker that reads the chain through a proxy."""

    def __init__(self, world: Any, ledger: Any, pool: Any, door_url: str, proxy: FaultProxy) -> None:
        self.world, self.ledger, self.proxy = world, ledger, proxy
        self.client, self.door = AsyncClient(proxy.url, timeout=0.5), EngineDoor(door_url, "token")
        self.escrow = world.through(self.client)
        lander = Lander(ledger, self.escrow)
        self.settlement = SettlementActivities(
            self.door, ledger, Queries(pool), self.escrow, lander, world.operator
        )

    async def tell(self) -> None:
        await tell_unapplied(self.door, self.escrow.view, await self.ledger.load_batch(1), 1)

    async def publish(self) -> None:
        await ActivityEnvironment().run(
            self.settlement.publish_status, StatusOf(1, int(BatchStatus.SUBMITTED))
        )

    async def while_it_stands_still(self, step: Any) -> None:
        pid = self.world.node.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ChainUnavailable):
                await step()
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def reader(
    world: Any, steps: Any, ledger: Any, postgres_url: str, door_server: Any
) -> AsyncIterator[Reader]:
    pool = open_pool(postgres_url)
    async with FaultProxy(world.node.url) as proxy:
        reader = Reader(world, ledger, pool, door_server.url, proxy)
        yield reader
        await reader.client.close()
        await reader.door.close()
    await pool.dispose()


@pytest.mark.cell("seal_batch: tell", "RPC lies")
@pytest.mark.cell("seal_batch: tell", "chain pauses")
async def test_what_a_batch_could_not_do_is_told_from_pages_that_have_taken_it(
    world: Any, steps: Any, reader: Reader, door_server: Any
) -> None:
    run, view = ActivityEnvironment().run, reader.escrow.view
    for read in (view.escrow_state(FINALIZED), view.page(0, FINALIZED)):
        assert await read is not None
    assert await run(steps.open_batch, 1) == 1
    await run(steps.settle_page, PageOf(1, 1, 0))
    await run(steps.seal_batch, SealOf(1, 1))
    # With another batch open the escrow no longer says that nothing was missing: every page is read.
    await world.land(world.escrow.build_open_batch(world.operator, 2, bytes(range(32)), 1), FINALIZED)
    door_server.commands.clear()
    for fault in (Fault.LIE, Fault.STALE):
        for true_before in (0, 1):
            reader.proxy.fail("getMultipleAccounts", None, times=true_before)
            reader.proxy.fail("getMultipleAccounts", fault)
            with pytest.raises(ApplicationError) as behind:
                await reader.tell()
            assert (behind.value.type, reader.proxy.waiting()) == ("node_behind", 0)
    await reader.while_it_stands_still(reader.tell)
    assert door_server.commands == []
    await reader.tell()
    (told,) = door_server.commands
    assert (told["type"], told["unapplied"]) == ("TakeUnapplied", [[0, 0], [2, 0]])


async def test_a_batch_that_was_opened_and_given_up_hides_no_shortfall(
    world: Any, steps: Any, owner: Any, reader: Reader, door_server: Any
) -> None:
    """The escrow forgets the shortfall as another batch is opened, and giving that up does not bring it back."""
    run = ActivityEnvironment().run
    assert await run(steps.open_batch, 1) == 1
    await world.land(world.escrow.build_withdraw(world.operator, owner, 0, 2, 4_600, 1))
    await run(steps.settle_page, PageOf(1, 1, 0))
    await world.land(world.escrow.build_seal_batch(world.operator, 1))
    # The same root, so that it is not this which tells.
    root = (await reader.ledger.load_batch(1)).root
    await world.land(world.escrow.build_open_batch(world.operator, 2, root, 1))
    await world.land(world.escrow.build_abort_batch(world.operator, 2), FINALIZED)
    await reader.tell()
    (told,) = door_server.commands
    assert (told["type"], told["unapplied"]) == ("TakeUnapplied", [[0, 600], [2, -600]])


@pytest.mark.cell("publish_status", "RPC lies")
@pytest.mark.cell("publish_status", "chain pauses")
async def test_a_status_is_published_with_the_fees_that_the_chain_tells(
    world: Any, reader: Reader, door_server: Any
) -> None:
    """A fee that was not there as the transaction landed is asked for again before agents hear of the status."""
    root = (await reader.ledger.load_batch(1)).root
    opened = await world.escrow.build_open_batch(world.operator, 1, root, 1)
    await reader.ledger.add_submission(opened.signature, "batch/1/open", opened.raw, 10**6, 0)
    await world.land(built(opened))
    await reader.ledger.close_submission(opened.signature, LANDED, 0)
    await reader.while_it_stands_still(reader.publish)
    assert door_server.commands == []
    reader.proxy.fail("getTransaction", Fault.LIE)
    await reader.publish()
    (told,) = door_server.commands
    assert (told["type"], told["signatures"]) == ("AdvanceBatch", [opened.signature])
    assert (await reader.ledger.load_batch(1)).lamports == 5_000


@pytest.mark.parametrize("whose", ["ours", "somebody else's"])
async def test_the_last_signature_of_a_final_batch_is_its_seal_whoever_sealed_it(
    world: Any, steps: Any, reader: Reader, door_server: Any, whose: str
) -> None:
    """A proof that names a page's transaction instead finds no root there, once the escrow remembers the batch no more."""
    run = ActivityEnvironment().run
    await run(steps.open_batch, 1)
    await run(steps.settle_page, PageOf(1, 1, 0))
    if whose == "ours":
        await run(steps.seal_batch, SealOf(1, 1))
    else:
        await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
    door_server.commands.clear()
    await run(steps.publish_status, StatusOf(1, int(BatchStatus.FINAL)))
    (told,) = [one for one in door_server.commands if one["type"] == "AdvanceBatch"]
    ours = [one.signature for one in await reader.ledger.submissions_of_batch(1, LANDED)]
    assert (told["signatures"] == ours) == (whose == "ours")
    assert (len(told["signatures"]), told["signatures"][:2]) == (3, ours[:2])
    receipt = await world.escrow.view.receipt(told["signatures"][-1], FINALIZED)
    kinds = [type(one).__name__ for one in parse_events(receipt.logs, world.escrow.addresses)]
    assert "BatchSealed" in kinds


async def built(transaction: Any) -> Any:
    return transaction
