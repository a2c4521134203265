"""Settlement while its processes die: whatever is killed, and when, every page lands exactly once."""

import asyncio
import base64
import random
from typing import Any

import pytest
from solders.transaction import VersionedTransaction

from core.batches import BatchStatus
from fault_proxy import Fault
from ledger.settlement import EXPIRED, LANDED, SIGNED

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
WORKER_KILLS = 10
CALLS_OF_A_BATCH = 20
TEMPORAL_KILLS = 3


async def held(network: Any, fault: Fault, after: int) -> str:
    """Have the proxy hold the submission that follows the next `after`; its signature, which was stored before it was sent."""
    network.proxy.fail("sendTransaction", None, times=after)
    network.proxy.fail("sendTransaction", fault, seconds=60)

    async def holds() -> bool:
        return network.proxy.waiting() == 0

    await network.settling(holds)
    # Of the pages that are on their way at once, this one is held.
    transaction = VersionedTransaction.from_bytes(
        base64.b64decode(network.proxy.broken["sendTransaction"][0])
    )
    signature = str(transaction.signatures[0])
    batch, _ = await network.newest()
    stored = {one.signature: one.status for one in await network.ledger.submissions_of_batch(batch)}
    assert stored[signature] == SIGNED
    return signature


async def under_way(network: Any) -> None:
    """A batch is that was not yet cut, and has been for a moment."""
    before, _ = await network.newest()

    async def cut() -> bool:
        number, status = await network.newest()
        return number > before and status is not BatchStatus.FINAL

    await network.settling(cut)
    await asyncio.sleep(random.uniform(0, 0.5))


async def fate(network: Any, signature: str) -> str:
    """What the ledger knows of a submission in the end."""
    newest, _ = await network.newest()
    submissions = [
        one for batch in range(1, newest + 1) for one in await network.ledger.submissions_of_batch(batch)
    ]
    return next(one.status for one in submissions if one.signature == signature)


@pytest.mark.cell("all of a batch", "killed before")
async def test_the_worker_dies_between_storing_bytes_and_sending_them(network, agree):
    signature = await held(network, Fault.REFUSE, 1)
    network.worker.kill()
    try:
        assert await network.escrow.view.receipt(signature) is None
    finally:
        network.worker.start()
    await agree()
    # Sent by the next worker, or expired before that one was up; not left open in either case.
    assert await fate(network, signature) in (LANDED, EXPIRED)


@pytest.mark.cell("all of a batch", "killed after")
async def test_the_worker_dies_between_landing_and_hearing_of_it(network, agree, until):
    signature = await held(network, Fault.LOSE_ANSWER, 1)

    async def on_chain() -> bool:
        return await network.escrow.view.receipt(signature) is not None

    await until(on_chain)
    network.worker.kill()
    network.worker.start()
    await agree()
    assert await fate(network, signature) == LANDED


@pytest.mark.cell("all of a batch", "killed before")
@pytest.mark.cell("all of a batch", "killed after")
async def test_the_worker_dies_at_any_instant(network, agree):
    calls = network.proxy.calls

    def made() -> int:
        return sum(calls.values()) - calls["getSignaturesForAddress"]

    for _ in range(WORKER_KILLS):
        wanted = made() + random.randrange(CALLS_OF_A_BATCH)

        async def enough(wanted: int = wanted) -> bool:
            return made() >= wanted

        await network.settling(enough)
        network.worker.kill()
        network.worker.start()
    await agree()


async def test_temporal_dies_while_a_batch_is_on_its_way(network, agree):
    for _ in range(TEMPORAL_KILLS):
        await under_way(network)
        network.temporal.kill()
        network.temporal.start()
    await agree()


@pytest.mark.cell("all of a batch", "chain pauses")
@pytest.mark.cell("reconcile: hold", "chain pauses")
async def test_the_chain_dies_while_a_batch_is_on_its_way(network, agree):
    for _ in range(2):
        await under_way(network)
        await asyncio.to_thread(network.chain.kill)
        await asyncio.to_thread(network.chain.start)
    await agree()


async def test_projector_and_api_die_while_a_batch_is_on_its_way(network, agree):
    for process in (network.projector, network.api):
        await under_way(network)
        process.kill()
        process.start()
    await network.serves()
    await agree()


async def test_the_database_is_lost_in_the_middle_of_a_batch_and_an_empty_one_takes_its_place(network, agree):
    await agree()
    await held(network, Fault.REFUSE, 1)
    network.worker.kill()
    network.projector.kill()
    await network.lose_database()
    network.projector.start()
    network.worker.start()
    await network.settled(2)
    await agree()
    assert await network.ledger.load_batch(1) is None
