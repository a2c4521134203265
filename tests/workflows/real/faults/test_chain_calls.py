"""Settlement while the way to the chain breaks: whatever becomes of calls and answers, every page lands exactly once."""

import asyncio
import signal

import pytest

from fault_proxy import Fault
from ledger.settlement import EXPIRED, LANDED
from workflows.steps import HEARTBEAT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
CALLS = (
    "sendTransaction",
    "getSignatureStatuses",
    "getMultipleAccounts",
    "getLatestBlockhash",
    "getTransaction",
)
BROKEN = (
    Fault.LOSE_ANSWER,
    Fault.REFUSE,
    Fault.SERVER_ERROR,
    Fault.LIMITED,
    Fault.BUSY,
    Fault.GARBAGE,
    Fault.TWICE,
)
CLIENT_PATIENCE_S = 10
"""How long the worker waits for an answer."""


async def test_agents_trade_and_everything_is_settled(network, agree):
    await network.settled(2)
    await agree()
    assert any(len(batch.pages) > 1 for batch in network.batches.values())


@pytest.mark.cell("all of a batch", "reply lost")
@pytest.mark.cell("all of a batch", "duplicate")
async def test_every_call_breaks_in_every_way(network, agree):
    for method in CALLS:
        for fault in BROKEN:
            network.proxy.fail(method, fault)
    # Asked once a second, with longer and longer pauses: a few are enough.
    network.proxy.fail("getSignaturesForAddress", Fault.GARBAGE, times=2)

    async def all_broken() -> bool:
        return network.proxy.waiting() == 0

    await network.settling(all_broken)
    await agree()


@pytest.mark.cell("all of a batch", "RPC lies")
async def test_the_node_lies_once_in_every_way(network, agree):
    """Bytes that seem to be lost are what heights are asked for."""
    network.proxy.fail("sendTransaction", Fault.SWALLOW)
    for method in ("getSignatureStatuses", "getEpochInfo", "getMultipleAccounts", "getTransaction"):
        network.proxy.fail(method, Fault.LIE)
    network.proxy.fail("getMultipleAccounts", Fault.STALE)

    async def all_told() -> bool:
        return network.proxy.waiting() == 0

    await network.settling(all_told)
    await network.settled(2)
    await agree()


async def test_answers_come_after_the_client_has_given_up(network, agree):
    for method in ("sendTransaction", "getMultipleAccounts"):
        network.proxy.fail(method, None, seconds=CLIENT_PATIENCE_S + 1)
    await network.settled(2)
    await agree()


@pytest.mark.cell("all of a batch", "delayed")
async def test_blockhashes_expire_and_new_bytes_pay_more(network, agree):
    network.proxy.fail("sendTransaction", Fault.SWALLOW, times=10**6)
    for fault in BROKEN:
        network.proxy.fail("getEpochInfo", fault)

    async def expired_twice() -> bool:
        batch, _ = await network.newest()
        tried = await network.ledger.submissions_of_batch(batch)
        return [one.status for one in tried].count(EXPIRED) >= 2

    await network.settling(expired_twice)
    batch, _ = await network.newest()
    network.proxy.heal()
    await agree()
    tried = await network.ledger.submissions_of_batch(batch)
    assert [one.status for one in tried].count(LANDED) == len(network.batches[batch].pages) + 2
    assert max(one.lamports for one in tried) > min(one.lamports for one in tried if one.lamports)


@pytest.mark.cell("all of a batch", "duplicate")
async def test_a_worker_freezes_while_it_sends_and_wakes_up_when_another_does_its_work(network, agree):
    network.proxy.fail("sendTransaction", Fault.REFUSE, seconds=2)
    sent = network.proxy.calls["sendTransaction"]

    async def holds() -> bool:
        return network.proxy.calls["sendTransaction"] > sent

    await network.settling(holds)
    network.worker.send(signal.SIGSTOP)
    second = network.another_worker("second")
    second.start()
    try:
        # Longer than a worker may be silent, so that its work is given to the other.
        await asyncio.sleep(HEARTBEAT.total_seconds() + 3)
        network.worker.send(signal.SIGCONT)
        await network.settled(2)
        await agree()
    finally:
        await asyncio.to_thread(second.end)
