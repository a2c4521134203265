"""An operator without SOL: nothing was sent and no program refused anything, so whatever waits for it goes on once it has some."""

import asyncio
import base64
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction
from temporalio.exceptions import ApplicationError
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment

from activities import heartbeats
from activities.engine_door import EngineDoor, Unbound
from activities.landing import OPERATOR_SHORT, Lander
from activities.reconciliation import ReconciliationActivities
from activities.slots import Room, SlotActivities
from activities.withdrawals import Payment, PaymentOutcome, PaymentStatus
from chain.rpc import FINALIZED
from chain.transactions import SignedTransaction
from fault_proxy import Fault, FaultProxy
from ledger.settlement import FAILED, SIGNED

AMOUNT, FEE = 5_000_000, 5_000
PLENTY = 10**9


def lamports(world: Any) -> int:
    answer = world.node.call("getBalance", str(world.operator.pubkey), {"commitment": "confirmed"})
    return int(answer["value"])


async def drain(world: Any) -> None:
    """All that the operator has goes elsewhere."""
    key, has = world.operator._sign.__self__, lamports(world)
    params = TransferParams(from_pubkey=key.pubkey(), to_pubkey=Keypair().pubkey(), lamports=has - FEE)
    blockhash = world.node.call("getLatestBlockhash")["value"]
    message = Message.new_with_blockhash(
        [transfer(params)], key.pubkey(), Hash.from_string(blockhash["blockhash"])
    )
    signed = Transaction([key], message, message.recent_blockhash)

    async def built() -> SignedTransaction:
        return SignedTransaction(bytes(signed), str(signed.signatures[0]), blockhash["lastValidBlockHeight"])

    await world.land(built(), FINALIZED)
    assert lamports(world) == 0


async def fill(world: Any, amount: int) -> None:
    before = lamports(world)
    world.node.call("requestAirdrop", str(world.operator.pubkey), amount)
    while lamports(world) == before:
        await asyncio.sleep(0.02)


async def test_steps_say_so_and_go_on_when_it_has_some(world: Any, ledger: Any, door_server: Any) -> None:
    door, node = EngineDoor(door_server.url, "token"), world.node
    lander = Lander(ledger, world.escrow)
    steps = SlotActivities(door, world.escrow, lander, world.operator, 0)
    one = Unbound(17, str(node.funded(1).pubkey))

    async def short(step: Any) -> str:
        with pytest.raises(ApplicationError) as caught:
            await step
        assert caught.value.type == OPERATOR_SHORT
        return str(caught.value)

    await drain(world)
    assert "AccountNotFound" in await short(steps._open(one, Room(0)))
    await fill(world, FEE - 1)
    assert "InsufficientFundsForFee" in await short(steps._open(one, Room(0)))
    # Enough for the fee, not for the rent of a page: that is the system program's word, with a number of the token program's too.
    await fill(world, 10_000_000)
    await short(steps._add_page(1))
    assert {row.status for row in await ledger.submissions("page/1")} == {FAILED}
    await fill(world, PLENTY)
    await steps._add_page(1)
    await steps._open(one, Room(0))
    assert await world.escrow.view.slot_of(17) is not None
    await door.close()


async def test_a_payment_waits_for_as_long_as_its_message_lives_and_was_surely_not_sent(
    world: Any, ledger: Any, withdrawals: Any
) -> None:
    owner = await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 50_000_000), FINALIZED)
    payment, run = Payment(16, str(owner.pubkey), AMOUNT, "", 7), ActivityEnvironment().run
    await drain(world)

    async def begun() -> asyncio.Task[PaymentOutcome]:
        message = await run(withdrawals.build_message, payment)
        signature = str(await owner.sign(base64.b64decode(message.message)))
        return asyncio.create_task(run(withdrawals.pay, payment, message, signature))

    async def sent() -> list[str]:
        return [one.status for one in await ledger.submissions("withdrawal/7")]

    outcome = await (await begun())
    assert (outcome.status, outcome.code) == (PaymentStatus.EXPIRED, OPERATOR_SHORT)
    assert await sent() == [FAILED]
    assert (await world.escrow.view.slot_of(16, FINALIZED)).slot.last_withdrawal == 0

    # The owner signs another one, and while that lives the operator gets some.
    paying = await begun()
    while await sent() != [FAILED, SIGNED]:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    assert (paying.done(), await sent()) == (False, [FAILED, SIGNED])
    await fill(world, PLENTY)
    assert (await paying).status == PaymentStatus.PAID
    assert (await world.escrow.view.slot_of(16, FINALIZED)).slot.balance == 45_000_000


async def test_a_node_that_is_slow_or_refuses_to_say_what_pays_stops_no_comparison(
    world: Any, ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "EVERY_S", 0.05)
    async with FaultProxy(world.node.url) as proxy, AsyncClient(proxy.url) as client:
        say = ReconciliationActivities(None, ledger, None, world.through(client))._say_what_pays

        async def said() -> tuple[dict[str, int], int]:
            told, beats = MetricBuffer(100), 0
            environment = ActivityEnvironment()

            def beat(*_: Any) -> None:
                nonlocal beats
                beats += 1

            environment.on_heartbeat = beat
            environment.metric_meter = Runtime(telemetry=TelemetryConfig(metrics=told)).metric_meter
            await environment.run(say)
            return {one.metric.name: one.value for one in told.retrieve_updates()}, beats

        for method in ("getMultipleAccounts", "getBalance"):
            proxy.fail(method, Fault.LIMITED)
            assert (await said())[0] == {}
            assert proxy.waiting() == 0
        proxy.fail("getBalance", None, seconds=0.5)
        figures, beats = await said()
        assert figures == {"perpdex_operator_lamports": lamports(world)}
        assert beats >= 4
