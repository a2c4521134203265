"""Every step that sends a transaction, through every fault: it is done once, and ledger and chain say the same of it.

A worker that is killed is a task that is cancelled while the proxy holds its call: what it stored and sent stays, and another worker,
which knows nothing else, does the step again. An hour's delay is one that outlives the signed bytes: time changes nothing else there.
"""

import asyncio
import base64
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException
from solana.rpc.types import TxOpts
from solders.pubkey import Pubkey
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import DOOR, EngineDoor, Unbound
from activities.landing import Lander
from activities.rotation import ExecuteOf, RotationActivities
from activities.settlement import PageOf, SealOf, SettlementActivities
from activities.slots import SlotActivities
from activities.withdrawals import MessageToSign, Payment, PaymentStatus, WithdrawalActivities
from chain.deltas import encode_deltas
from chain.events import (
    AccountOpened,
    BatchOpened,
    BatchSealed,
    PageCreated,
    PageSettled,
    ProposalExecuted,
    Withdrawn,
    parse_events,
)
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED, ChainUnavailable
from core import events as e
from core.pages import plan_pages
from fault_proxy import Fault, FaultProxy
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import LANDED, AccountAtCut, Settlement
from owner_transactions import OwnerTransactions

HELD_S = 60.0
DEPOSIT, DELTA, PAYMENT = 100_000_000, 1_000_000, 5_000_000
BATCH = 1
AGENT, NEWCOMER, LEAVER = 16, 17, 18
TRIES = 20
"""Temporal tries without end; a step that needs more than this is stuck."""
BATCH_STEPS = ("open_batch", "settle_page", "seal_batch")
PLACED = ("watch_unbound: open", "watch_unbound: reuse")
STEPS = (*BATCH_STEPS, "pay", *PLACED, "watch_unbound: add a page", "execute_proposal")
EVENTS = {
    "open_batch": BatchOpened,
    "settle_page": PageSettled,
    "seal_batch": BatchSealed,
    "pay": Withdrawn,
    "watch_unbound: open": AccountOpened,
    "watch_unbound: reuse": AccountOpened,
    "watch_unbound: add a page": PageCreated,
    "execute_proposal": ProposalExecuted,
}
REFERENCES = {
    "open_batch": f"batch/{BATCH}/open",
    "settle_page": f"batch/{BATCH}/page/0",
    "seal_batch": f"batch/{BATCH}/seal",
    "pay": "withdrawal/1",
    "watch_unbound: open": f"slot/{NEWCOMER}",
    "watch_unbound: reuse": f"slot/{NEWCOMER}",
    "watch_unbound: add a page": "page/1",
    "execute_proposal": "proposal/1/execute",
}
NEW_OPERATOR = Pubkey.from_bytes(bytes(31) + b"\1")
HASTE = {"exit_delay": 1, "limit_delay": 1, "timelock": 2}
"""A proposal that is ripe within a test."""
LIES = ("getSignatureStatuses", "getEpochInfo", "getMultipleAccounts")


class Worker:
    """A worker's steps and all that it holds in memory."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.client = AsyncClient(scene.proxy.url, timeout=0.5)
        self.door = EngineDoor(scene.door.url, "token")
        escrow, operator = scene.world.through(self.client), scene.world.operator
        ledger, queries, lander = scene.ledger, scene.queries, Lander(scene.ledger, escrow)
        self.settlement = SettlementActivities(self.door, ledger, queries, escrow, lander, operator)
        self.slots = SlotActivities(self.door, escrow, lander, operator, 0)
        self.rotation = RotationActivities(self.door, ledger, escrow, lander, operator)
        self.withdrawals = WithdrawalActivities(self.door, ledger, queries, escrow, lander, operator, 0)

    async def do(self, step: str) -> None:
        """One try."""
        run, of = ActivityEnvironment().run, self.settlement
        match step:
            case "open_batch":
                assert await run(of.open_batch, BATCH) == 1
            case "settle_page":
                await run(of.settle_page, PageOf(BATCH, 1, 0))
            case "seal_batch":
                await run(of.seal_batch, SealOf(BATCH, 1))
            case "pay":
                await self._pay()
            case "watch_unbound: open" | "watch_unbound: reuse":
                await self.slots._place([Unbound(NEWCOMER, str(self.scene.newcomer.pubkey))])
            case "watch_unbound: add a page":
                await self.slots._add_page(1)
            case "execute_proposal":
                assert await run(self.rotation.execute_proposal, ExecuteOf(str(NEW_OPERATOR), 1))

    async def _pay(self) -> None:
        """What the withdrawal's workflow does: a message that came too late is replaced, and the owner signs again."""
        scene, run = self.scene, ActivityEnvironment().run
        if scene.message is None:
            scene.message = await run(self.withdrawals.build_message, scene.payment)
        signature = await scene.sign(scene.message)
        outcome = await run(self.withdrawals.pay, scene.payment, scene.message, signature)
        if outcome.status == PaymentStatus.EXPIRED:
            scene.message = None
            raise ChainUnavailable("the owner has to sign again")
        assert outcome.status == PaymentStatus.PAID, outcome

    async def persist(self, step: str) -> None:
        """Try until it is done, as Temporal does."""
        for _ in range(TRIES):
            try:
                return await self.do(step)
            except (ApplicationError, ChainUnavailable):
                await asyncio.sleep(0.05)
        raise AssertionError(f"{step} is stuck")

    async def close(self) -> None:
        await self.door.close()
        await self.client.close()


class Scene:
    """An escrow with an agent's deposit, a batch that the ledger has, a withdrawal, somebody without a slot; workers come and go."""

    def __init__(
        self, world: Any, proxy: FaultProxy, pool: Any, door: Any, owner: Any, newcomer: Any
    ) -> None:
        self.world, self.proxy, self.door, self.owner, self.newcomer = world, proxy, door, owner, newcomer
        self.ledger, self.queries = Settlement(pool), Queries(pool)
        self.payment = Payment(16, str(owner.pubkey), PAYMENT, "", withdrawal=1)
        self.message: MessageToSign | None = None
        self.workers: list[Worker] = []

    def worker(self) -> Worker:
        self.workers.append(Worker(self))
        return self.workers[-1]

    async def before(self, step: str) -> None:
        """Everything that comes before the step is done."""
        for earlier in BATCH_STEPS[: BATCH_STEPS.index(step)] if step in BATCH_STEPS else ():
            await self.worker().persist(earlier)
        if step == "watch_unbound: reuse":
            await self._slot_given_up()
        if step == "execute_proposal":
            escrow, admin = self.world.escrow, self.world.operator
            now = (await escrow.view.escrow_state()).settings
            await self.world.land(
                escrow.governance.build_propose(admin, replace(now, operator=NEW_OPERATOR)), FINALIZED
            )
            ready_at = (await escrow.view.escrow_state()).proposal.ready_at
            await until(lambda: reached(escrow.view, ready_at))

    async def _slot_given_up(self) -> None:
        """An account is closed, the batch after that is sealed, finally, and the engine has done with it."""
        build, operator = self.world.escrow, self.world.operator
        leaver = await self.world.agent(LEAVER, 0)
        await self.world.land(OwnerTransactions(build).build_close_account(leaver, 0, 3))
        await self.world.land(build.build_open_batch(operator, 1, bytes(32), 1))
        await self.world.land(build.build_settle_page(operator, 1, 0, [(0, DELTA), (2, -DELTA)]))
        await self.world.land(build.build_seal_batch(operator, 1), FINALIZED)
        self.door.answers[f"{DOOR}/settlement/accounts"] = {**self.door._books(""), "done_with": [LEAVER]}

    async def bound(self, step: str) -> bool:
        """The engine was told of the newcomer's place, which is told once it is final."""
        await self.worker().persist(step)
        told = [one for one in self.door.commands if one["type"] == "BindSlot"]
        assert {(one["account"], one["page"], one["slot"]) for one in told} <= {(NEWCOMER, 0, 3)}
        return bool(told)

    async def held(self, step: str, fault: Fault) -> asyncio.Task[None]:
        """A worker in the middle of the step: its submission is with the proxy, which does not answer."""
        self.proxy.fail("sendTransaction", fault, seconds=HELD_S)
        doing = asyncio.create_task(self.worker().do(step))
        await until(lambda: true_when(self.proxy.waiting() == 0))
        return doing

    async def sign(self, message: MessageToSign) -> str:
        return str(await self.owner.sign(base64.b64decode(message.message)))

    async def stored(self, step: str) -> list[Any]:
        return list(await self.ledger.submissions(REFERENCES[step]))

    async def on_chain(self, step: str) -> bool:
        (one,) = await self.stored(step)
        return await self.world.escrow.view.receipt(one.signature) is not None

    async def pass_blocks(self, step: str) -> None:
        """Wait until what is stored of the step can land no more."""
        beyond = max(one.last_valid_block_height for one in await self.stored(step))
        await until(lambda: true_when(self.world.node.call("getBlockHeight") > beyond + 2))

    async def done_once(self, step: str) -> None:
        """Finish what is left, have everybody who kept bytes send them again, and look at chain and ledger."""
        await self.worker().persist(step)
        for later in BATCH_STEPS[BATCH_STEPS.index(step) :] if step in BATCH_STEPS else ():
            await self.worker().persist(later)
        for one in await self.stored(step):
            with contextlib.suppress(RPCException):
                await self.world.escrow.client.send_raw_transaction(one.raw, TxOpts(skip_preflight=True))
        await asyncio.sleep(0.1)
        assert await self.happened(step) == 1
        landed = [one.status for one in await self.stored(step)].count(LANDED)
        if step in PLACED:
            # Whoever finds the account in a slot asks for no transaction: of a worker that died as it landed none is told.
            await until(lambda: self.bound(step))
            assert landed <= 1
        else:
            assert landed == 1
        snapshot = await self.world.escrow.view.snapshot("confirmed")
        assert snapshot.vault == snapshot.promised
        moved = DELTA * (step in BATCH_STEPS or step == "watch_unbound: reuse")
        paid, newcomer = PAYMENT * (step == "pay"), [0] * (step in PLACED)
        balances = [moved, 0, DEPOSIT - moved - paid, *newcomer]
        assert [slot.balance for slot in snapshot.pages[0].slots] == balances
        assert snapshot.state.clearing == 0

    async def happened(self, step: str) -> int:
        """How often the program says that it did the step; the agent's own slot and the first page were there before."""
        client, view = self.world.escrow.client, self.world.escrow.view
        found = (await client.get_signatures_for_address(self.world.escrow.addresses.escrow)).value
        receipts = [await view.receipt(str(one.signature)) for one in found if one.err is None]
        events = [
            event for receipt in receipts for event in parse_events(receipt.logs, self.world.escrow.addresses)
        ]
        return sum(isinstance(event, EVENTS[step]) and not _of_the_scene(event) for event in events)


def _of_the_scene(event: Any) -> bool:
    match event:
        case AccountOpened():
            return event.account in (AGENT, LEAVER)
        case PageCreated():
            return event.page == 0
    return False


async def reached(view: Any, second: int) -> bool:
    return bool(await view.clock() >= second)


async def true_when(condition: bool) -> bool:
    return condition


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await true():
            await asyncio.sleep(0.01)


async def kill(doing: asyncio.Task[None]) -> None:
    assert not doing.done()
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)


def steps(fault: str) -> Any:
    """Every step, each marked as a cell of the matrix."""
    return pytest.mark.parametrize(
        "step", [pytest.param(step, marks=pytest.mark.cell(step, fault)) for step in STEPS]
    )


lies: Any = pytest.mark.parametrize(
    ("step", "lie"),
    [
        pytest.param(step, lie, marks=pytest.mark.cell(step, "RPC lies"))
        for step in STEPS
        # What is said of signatures and heights is judged before anybody knows which slot it is about.
        for lie in (LIES if step != "watch_unbound: reuse" else LIES[-1:])
    ],
)


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, **HASTE)


@pytest.fixture
async def scene(world: Any, postgres_url: str, door_server: Any) -> AsyncIterator[Scene]:
    owner, newcomer = await world.agent(AGENT, DEPOSIT), world.node.funded(1)
    await world.land(world.escrow.build_deposit(owner, 0, 2, DEPOSIT), FINALIZED)
    projector = Projector(postgres_url)
    projector.apply([(1, e.SettlementCut(2, BATCH, ((1, 600_000),)))])
    projector.close()
    pool = open_pool(postgres_url)
    plans = [(plan, encode_deltas(plan.deltas)) for plan in plan_pages([(0, 0, DELTA), (0, 2, -DELTA)])]
    accounts = [AccountAtCut(1, 0, DELTA), AccountAtCut(16, DEPOSIT, DEPOSIT - DELTA)]
    await Settlement(pool).store_batch(BATCH, 2, 0, 1, accounts, plans)
    async with FaultProxy(world.node.url) as proxy:
        scene = Scene(world, proxy, pool, door_server, owner, newcomer)
        yield scene
        for worker in scene.workers:
            await worker.close()
    await pool.dispose()


@steps("killed before")
async def test_killed_before_it_was_sent(scene: Scene, step: str) -> None:
    await scene.before(step)
    await kill(await scene.held(step, Fault.REFUSE))
    assert not await scene.on_chain(step)
    await scene.done_once(step)


@steps("killed after")
async def test_killed_after_it_landed(scene: Scene, step: str) -> None:
    await scene.before(step)
    doing = await scene.held(step, Fault.LOSE_ANSWER)
    await until(lambda: scene.on_chain(step))
    await kill(doing)
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 1


@steps("reply lost")
async def test_the_reply_is_lost(scene: Scene, step: str) -> None:
    await scene.before(step)
    scene.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    await scene.worker().do(step)
    assert scene.proxy.waiting() == 0
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 1


@steps("duplicate")
async def test_two_workers_do_it_at_once_and_a_third_again(scene: Scene, step: str) -> None:
    await scene.before(step)
    scene.proxy.fail("sendTransaction", Fault.TWICE, times=2)
    await asyncio.gather(scene.worker().persist(step), scene.worker().persist(step))
    await scene.done_once(step)


@steps("delayed")
async def test_it_is_delayed_until_its_bytes_have_expired(scene: Scene, step: str) -> None:
    await scene.before(step)
    await kill(await scene.held(step, Fault.REFUSE))
    await scene.pass_blocks(step)
    await scene.done_once(step)
    assert len(await scene.stored(step)) == 2


@steps("chain pauses")
async def test_the_chain_stands_still_in_the_middle(scene: Scene, step: str) -> None:
    await scene.before(step)
    pid = scene.world.node.process.pid
    doing = await scene.held(step, Fault.REFUSE)
    os.kill(pid, signal.SIGSTOP)
    try:
        # Longer than a worker waits for an answer.
        await asyncio.sleep(1.5)
        assert not doing.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.gather(doing, return_exceptions=True)
    await scene.done_once(step)


@lies
async def test_the_node_says_something_untrue(scene: Scene, step: str, lie: str) -> None:
    await scene.before(step)
    if lie == "getEpochInfo":
        # Asked only of bytes that seem to be lost.
        scene.proxy.fail("sendTransaction", Fault.SWALLOW)
    scene.proxy.fail(lie, Fault.LIE)
    await scene.worker().persist(step)
    assert scene.proxy.waiting() == 0
    assert await scene.happened(step) == 1
    await scene.done_once(step)


@pytest.mark.cell("open_batch", "RPC lies")
@pytest.mark.cell("settle_page", "RPC lies")
@pytest.mark.cell("seal_batch", "RPC lies")
async def test_the_node_says_that_a_page_took_other_deltas(scene: Scene) -> None:
    """What is not signed is not known: a batch of ours is not taken for another's, which would have it settled once more."""
    await scene.before("seal_batch")
    # The last one is begun anew on a sealed batch, as its workflow is when it has grown long.
    for step in ("settle_page", "seal_batch", "open_batch"):
        scene.proxy.fail("getTransaction", Fault.FORGE)
        with pytest.raises(ApplicationError) as unknown:
            await scene.worker().do(step)
        assert (unknown.value.type, scene.proxy.waiting()) == ("node_lies", 0)
        await scene.worker().persist(step)
    for step in BATCH_STEPS:
        await scene.done_once(step)
