"""Every step that sends a transaction, through every fault: it is done once, and ledger and chain say the same of it.

A worker that is killed is a task that is cancelled while the proxy holds its call: what it stored and sent stays, and another worker,
which knows nothing else, does the step again. A delay is one of slots: time changes nothing else there.
"""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from fault_proxy import Fault

BATCH_STEPS = ("open_batch", "settle_page: debits", "settle_page: credits", "seal_batch")
STEPS = {
    "open_batch": "open_batch",
    "settle_page: debits": "settle_page",
    "settle_page: credits": "settle_page",
    "seal_batch": "seal_batch",
    "pay": "pay",
    "watch_unbound: open": "watch_unbound: open",
    "watch_unbound: reuse": "watch_unbound: reuse",
    "watch_unbound: add a page": "watch_unbound: add a page",
    "execute_proposal": "execute_proposal",
}
"""What is done, and the row of the matrix that it belongs to: pages that give and pages that take are settled by one step."""
LIES = ("getSignatureStatuses", "getEpochInfo", "getMultipleAccounts")
LATE_SLOTS = 1_000
"""Signed bytes live for 150, and after 300 a node looks a signature up in its history."""


def steps(fault: str) -> Any:
    """Every step, each marked as a cell of the matrix."""
    return pytest.mark.parametrize(
        "step", [pytest.param(step, marks=pytest.mark.cell(row, fault)) for step, row in STEPS.items()]
    )


lies: Any = pytest.mark.parametrize(
    ("step", "lie"),
    [
        pytest.param(step, lie, marks=pytest.mark.cell(row, "RPC lies"))
        for step, row in STEPS.items()
        # What is said of signatures and heights is judged before anybody knows which slot it is about.
        for lie in (LIES if step != "watch_unbound: reuse" else LIES[-1:])
    ],
)


@steps("killed before")
async def test_killed_before_it_was_sent(scene: Any, step: str) -> None:
    await scene.before(step)
    await scene.kill(await scene.held(step, Fault.REFUSE))
    assert not await scene.on_chain(step)
    await scene.done_once(step)


@steps("killed after")
async def test_killed_after_it_landed(scene: Any, step: str) -> None:
    await scene.before(step)
    doing = await scene.held(step, Fault.LOSE_ANSWER)
    await scene.until(lambda: scene.on_chain(step))
    await scene.kill(doing)
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 1


@steps("reply lost")
async def test_the_reply_is_lost(scene: Any, step: str) -> None:
    await scene.before(step)
    scene.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    await scene.worker().do(step)
    assert scene.proxy.waiting() == 0
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 1


@steps("duplicate")
async def test_two_workers_do_it_at_once_and_a_third_again(scene: Any, step: str) -> None:
    await scene.before(step)
    scene.proxy.fail("sendTransaction", Fault.TWICE, times=2)
    await asyncio.gather(scene.worker().persist(step), scene.worker().persist(step))
    await scene.done_once(step)


@steps("delayed")
async def test_it_is_delayed_until_its_bytes_have_expired(scene: Any, step: str) -> None:
    await scene.before(step)
    await scene.kill(await scene.held(step, Fault.REFUSE))
    scene.chain.skip(LATE_SLOTS)
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 2


@steps("chain pauses")
async def test_the_chain_stands_still_in_the_middle(scene: Any, step: str) -> None:
    await scene.before(step)
    doing = await scene.held(step, Fault.REFUSE)
    scene.chain.pause()
    try:
        await scene.asks_in_vain(2)
        assert not doing.done()
    finally:
        scene.chain.resume()
    await asyncio.gather(doing, return_exceptions=True)
    await scene.done_once(step)


@lies
async def test_the_node_says_something_untrue(scene: Any, step: str, lie: str) -> None:
    await scene.before(step)
    if lie == "getEpochInfo":
        # Asked only of bytes that seem to be lost.
        scene.proxy.fail("sendTransaction", Fault.SWALLOW)
    scene.proxy.fail(lie, Fault.LIE)
    doing = asyncio.create_task(scene.worker().persist(step))
    await scene.broken()
    if lie == "getEpochInfo":
        scene.chain.skip(LATE_SLOTS)
    await doing
    assert await scene.happened(step) == 1
    await scene.done_once(step)


@pytest.mark.cell("open_batch", "RPC lies")
@pytest.mark.cell("settle_page", "RPC lies")
@pytest.mark.cell("seal_batch", "RPC lies")
async def test_the_node_says_that_a_page_took_other_deltas(scene: Any) -> None:
    """What is not signed is not known: a batch of ours is not taken for another's, which would have it settled once more."""
    await scene.before("seal_batch")
    # The last one is begun anew on a sealed batch, as its workflow is when it has grown long.
    for step in ("settle_page: debits", "settle_page: credits", "seal_batch", "open_batch"):
        scene.proxy.fail("getTransaction", Fault.FORGE)
        with pytest.raises(ApplicationError) as unknown:
            await scene.worker().do(step)
        assert (unknown.value.type, scene.proxy.waiting()) == ("node_lies", 0)
        await scene.worker().persist(step)
    for step in BATCH_STEPS:
        await scene.done_once(step)
