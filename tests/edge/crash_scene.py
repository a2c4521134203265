"""An escrow, a batch and a withdrawal, and workers that come and go: faults are tried on them, by `crash_faults`."""

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

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
from chain.rpc import CONFIRMED, FINALIZED, ChainUnavailable
from fault_proxy import Fault, FaultProxy
from ledger.queries import Queries
from ledger.settlement import LANDED, Settlement
from nearby_chain import NearbyChain
from owner_transactions import OwnerTransactions

SLOT_MS = 40
"""Bytes live for six seconds."""
POLL_S = 0.02
HELD_S = 60.0
BATCH = 1
AGENT, NEWCOMER, LEAVER, WINNER, LOSER = 16, 17, 18, 19, 20
DEPOSIT, STAKE, PAYMENT = 100_000_000, 7_000_011, 5_000_000
"""What the agent has in slot 0/2 and the loser in 1/1, and what is paid to the agent. Micro-USDC."""
DELTAS = ((0, 0, 600_007), (0, 2, -1_234_567), (1, 0, 745_671), (1, 1, -111_111))
"""Page, slot and micro-USDC: page 0 gives 634,560 to the clearing, and page 1 takes them."""
GIVEN_UP = 1_000_000
"""What the batch moves after which a closed account's slot may be used again."""
SETTLED = {
    0: PageSettled(1, 0, 1_234_567, 600_007, 0, 0, ()),
    1: PageSettled(1, 1, 111_111, 745_671, 0, 0, ()),
}
TRIES = 20
"""Temporal tries without end; a step that needs more than this is stuck."""
BATCH_STEPS = ("open_batch", "settle_page: debits", "settle_page: credits", "seal_batch")
PLACED = ("watch_unbound: open", "watch_unbound: reuse")
REFERENCES = {
    "open_batch": f"batch/{BATCH}/open",
    "settle_page: debits": f"batch/{BATCH}/page/0",
    "settle_page: credits": f"batch/{BATCH}/page/1",
    "seal_batch": f"batch/{BATCH}/seal",
    "pay": "withdrawal/1",
    "watch_unbound: open": f"slot/{NEWCOMER}",
    "watch_unbound: reuse": f"slot/{NEWCOMER}",
    "watch_unbound: add a page": "page/2",
    "execute_proposal": "proposal/1/execute",
}
NEW_OPERATOR = Pubkey.from_bytes(bytes(31) + b"\1")


class Worker:
    """A worker's steps and all that it holds in memory."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.client = AsyncClient(scene.proxy.url, timeout=0.5)
        self.door = EngineDoor(scene.door.url, "token")
        escrow, operator = scene.world.through(self.client), scene.world.operator
        ledger, queries = scene.ledger, scene.queries
        lander = Lander(ledger, escrow, poll_s=POLL_S)
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
            case "settle_page: debits":
                await run(of.settle_page, PageOf(BATCH, 1, 0))
            case "settle_page: credits":
                await run(of.settle_page, PageOf(BATCH, 1, 1))
            case "seal_batch":
                await run(of.seal_batch, SealOf(BATCH, 1))
            case "pay":
                await self._pay()
            case "watch_unbound: open" | "watch_unbound: reuse":
                await self.slots._place([Unbound(NEWCOMER, str(self.scene.newcomer.pubkey))])
            case "watch_unbound: add a page":
                await self.slots._add_page(2)
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
    """An escrow of two pages with a batch that moves money between them, a withdrawal, somebody without a slot."""

    def __init__(
        self, world: Any, proxy: FaultProxy, pool: Any, door: Any, owner: Any, newcomer: Any
    ) -> None:
        self.world, self.proxy, self.door, self.owner, self.newcomer = world, proxy, door, owner, newcomer
        self.chain: NearbyChain = world.node.process
        self.ledger, self.queries = Settlement(pool), Queries(pool)
        self.payment = Payment(16, str(owner.pubkey), PAYMENT, "", withdrawal=1)
        self.message: MessageToSign | None = None
        self.workers: list[Worker] = []

    def worker(self) -> Worker:
        self.workers.append(Worker(self))
        return self.workers[-1]

    async def before(self, step: str) -> None:
        """Everything that comes before the step is done."""
        worker = self.worker()
        for earlier in BATCH_STEPS[: BATCH_STEPS.index(step)] if step in BATCH_STEPS else ():
            await worker.persist(earlier)
        if step == "watch_unbound: reuse":
            await self._slot_given_up()
        if step == "execute_proposal":
            escrow, admin = self.world.escrow, self.world.operator
            now = (await escrow.view.escrow_state()).settings
            await self.world.land(
                escrow.governance.build_propose(admin, replace(now, operator=NEW_OPERATOR)), FINALIZED
            )
            ready_at = (await escrow.view.escrow_state()).proposal.ready_at
            await self.until(lambda: reached(escrow.view, ready_at))

    async def _slot_given_up(self) -> None:
        """An account is closed, the batch after that is sealed, finally, and the engine has done with it."""
        build, operator = self.world.escrow, self.world.operator
        leaver = await self.world.agent(LEAVER, 0)
        await self.world.land(OwnerTransactions(build).build_close_account(leaver, 0, 3))
        await self.world.land(build.build_open_batch(operator, 1, bytes(32), 1))
        deltas = [(0, GIVEN_UP), (2, -GIVEN_UP)]
        await self.world.land(build.build_settle_page(operator, 1, 0, deltas))
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
        while True:
            doing = asyncio.create_task(self.worker().do(step))
            await self.until(lambda: true_when(self.proxy.waiting() == 0 or doing.done()))  # noqa: B023
            if self.proxy.waiting() == 0:
                return doing
            # On a busy machine what is asked before may come too late for it, or for the bytes.
            assert isinstance(doing.exception(), ApplicationError | ChainUnavailable), doing

    async def broken(self) -> None:
        """Every fault that was ordered has happened."""
        await self.until(lambda: true_when(self.proxy.waiting() == 0))

    async def asks_in_vain(self, count: int) -> None:
        """So many more calls have come that the chain, which stands still, does not answer."""
        asked = self.proxy.calls.total()
        await self.until(lambda: true_when(self.proxy.calls.total() >= asked + count))

    async def sign(self, message: MessageToSign) -> str:
        return str(await self.owner.sign(base64.b64decode(message.message)))

    async def stored(self, step: str) -> list[Any]:
        return list(await self.ledger.submissions(REFERENCES[step]))

    async def on_chain(self, step: str) -> bool:
        (one,) = await self.stored(step)
        return await self.world.escrow.view.receipt(one.signature) is not None

    async def done_once(self, step: str) -> None:
        """Finish what is left, have everybody who kept bytes send them again, and look at chain and ledger."""
        worker = self.worker()
        for later in BATCH_STEPS[BATCH_STEPS.index(step) :] if step in BATCH_STEPS else (step,):
            await worker.persist(later)
        for one in await self.stored(step):
            with contextlib.suppress(RPCException):
                await self.world.escrow.client.send_raw_transaction(one.raw, TxOpts(skip_preflight=True))
        # What was sent again and landed would be confirmed by then.
        await asyncio.sleep(2.5 * SLOT_MS / 1000)
        assert await self.happened(step) == 1
        landed = [one.status for one in await self.stored(step)].count(LANDED)
        if step in PLACED:
            # Whoever finds the account in a slot asks for no transaction: of a worker that died as it landed none is told.
            await self.until(lambda: self.bound(step))
            assert landed <= 1
        else:
            assert landed == 1
        await self._every_micro_unit(step)

    async def _every_micro_unit(self, step: str) -> None:
        """Each slot holds what it was given, and the pages, what they remember of the batch and the vault belong together."""
        snapshot = await self.world.escrow.view.snapshot(CONFIRMED)
        assert snapshot.vault == snapshot.promised == DEPOSIT + STAKE - PAYMENT * (step == "pay")
        held = {(0, 0): 0, (0, 1): 0, (0, 2): DEPOSIT, (1, 0): 0, (1, 1): STAKE}
        batches = [0, 0]
        if step in BATCH_STEPS:
            batches = [1, 1]
            for page, slot, delta in DELTAS:
                held[page, slot] += delta
        elif step == "watch_unbound: reuse":
            batches = [1, 0]
            held[0, 0] += GIVEN_UP
            held[0, 2] -= GIVEN_UP
        elif step == "pay":
            held[0, 2] -= PAYMENT
        if step in PLACED:
            held[0, 3] = 0
        pages = [page for page in snapshot.pages if page.index < 2]
        slots = [(page.index, slot) for page in pages for slot in page.slots]
        assert {(page, slot.index): slot.balance for page, slot in slots} == held
        assert {slot.unapplied for _, slot in slots} == {0}
        assert [page.last_batch for page in pages] == batches
        state = snapshot.state
        assert (state.clearing, state.open_batch, state.sealed_batch) == (0, 0, max(batches))

    async def happened(self, step: str) -> int:
        """How often the program says that it did the step."""
        client, view = self.world.escrow.client, self.world.escrow.view
        at = self.world.escrow.addresses.escrow
        found = (await client.get_signatures_for_address(at, commitment=CONFIRMED)).value
        receipts = [await view.receipt(str(one.signature)) for one in found if one.err is None]
        events = [
            event for receipt in receipts for event in parse_events(receipt.logs, self.world.escrow.addresses)
        ]
        return sum(_is_of(step, event) for event in events)

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await true():
                await asyncio.sleep(0.01)

    async def kill(self, doing: asyncio.Task[None]) -> None:
        assert not doing.done()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


def _is_of(step: str, event: Any) -> bool:
    """Whether the event is what the step does; accounts and pages of the scene's were there before."""
    match event:
        case BatchOpened():
            return step == "open_batch"
        case PageSettled():
            assert step not in BATCH_STEPS or event == SETTLED[event.page]
            return step == ("settle_page: credits" if event.page else "settle_page: debits")
        case BatchSealed():
            assert step not in BATCH_STEPS or (event.pages, event.gross, event.shortfall) == (2, 2_691_356, 0)
            return step == "seal_batch"
        case Withdrawn():
            return step == "pay" and (event.page, event.slot, event.amount) == (0, 2, PAYMENT)
        case AccountOpened():
            return step in PLACED and event.account == NEWCOMER
        case PageCreated():
            return step == "watch_unbound: add a page" and event.page == 2
        case ProposalExecuted():
            return step == "execute_proposal"
    return False


async def reached(view: Any, second: int) -> bool:
    return bool(await view.clock() >= second)


async def true_when(condition: bool) -> bool:
    return condition
