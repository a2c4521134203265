"""What happens to steps that send a transaction: every fault of the matrix, for whichever steps a test file names.

A worker that is killed is a task that is cancelled while the proxy holds its call: what it stored and sent stays, and another worker,
which knows nothing else, does the step again. A delay is one of slots: time changes nothing else there.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from fault_proxy import Fault

LIES = ("getSignatureStatuses", "getEpochInfo", "getMultipleAccounts")
LATE_SLOTS = 1_000
"""Signed bytes live for 150, and after 300 a node looks a signature up in its history."""
_Test = TypeVar("_Test", bound=Callable[..., Any])


def shows(fault: str) -> Callable[[_Test], _Test]:
    """The column of the matrix in which the test shows each of its steps."""

    def named(test: _Test) -> _Test:
        test.fault = fault  # type: ignore[attr-defined]
        return test

    return named


class Faults:
    """`STEPS` are what is done, each with its row of the matrix. Of those in `FEW_LIES` some lies make no difference."""

    STEPS: ClassVar[Mapping[str, str]]
    FEW_LIES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def lies_about(cls, step: str) -> tuple[str, ...]:
        return cls.FEW_LIES.get(step, LIES)

    @shows("killed before")
    async def test_killed_before_it_was_sent(self, scene: Any, step: str) -> None:
        await scene.before(step)
        await scene.kill(await scene.held(step, Fault.REFUSE))
        assert not await scene.on_chain(step)
        await scene.done_once(step)

    @shows("killed after")
    async def test_killed_after_it_landed(self, scene: Any, step: str) -> None:
        await scene.before(step)
        doing = await scene.held(step, Fault.LOSE_ANSWER)
        await scene.until(lambda: scene.on_chain(step))
        await scene.kill(doing)
        await scene.done_once(step)
        assert len(await scene.stored(step)) == 1

    @shows("reply lost")
    async def test_the_reply_is_lost(self, scene: Any, step: str) -> None:
        await scene.before(step)
        scene.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
        await scene.worker().do(step)
        assert scene.proxy.waiting() == 0
        await scene.done_once(step)
        assert len(await scene.stored(step)) == 1

    @shows("duplicate")
    async def test_two_workers_do_it_at_once_and_a_third_again(self, scene: Any, step: str) -> None:
        await scene.before(step)
        scene.proxy.fail("sendTransaction", Fault.TWICE, times=2)
        await asyncio.gather(scene.worker().persist(step), scene.worker().persist(step))
        await scene.done_once(step)

    @shows("delayed")
    async def test_it_is_delayed_until_its_bytes_have_expired(self, scene: Any, step: str) -> None:
        await scene.before(step)
        await scene.kill(await scene.held(step, Fault.REFUSE))
        scene.chain.skip(LATE_SLOTS)
        await scene.done_once(step)
        assert len(await scene.stored(step)) == 2

    @shows("chain pauses")
    async def test_the_chain_stands_still_in_the_middle(self, scene: Any, step: str) -> None:
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

    @shows("RPC lies")
    async def test_the_node_says_something_untrue(self, scene: Any, step: str, lie: str) -> None:
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
