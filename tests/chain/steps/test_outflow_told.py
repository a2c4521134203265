"""An owner hears before signing that the escrow pays no such amount now, or not to it alone: the program would refuse the transaction,
or the others would be left without."""

import asyncio
import base64
import time
from dataclasses import replace
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.outflow import Outflow
from activities.withdrawals import Payment, PaymentStatus, WithdrawalActivities
from chain.limits import DAY_S, DEFAULT_LIMITS, HOUR_S
from chain.payments import payment_in
from core import events as e
from core.quantities import SECOND
from fault_proxy import FaultProxy
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries

FLOOR = DEFAULT_LIMITS.hour_floor


async def refusal(building: Any) -> tuple[str, str]:
    with pytest.raises(ApplicationError) as refused:
        await building
    return refused.value.type or "", refused.value.message


async def test_no_message_is_built_for_more_than_may_leave_in_the_hour(world: Any, withdrawals: Any) -> None:
    owner = await world.agent(16, 2 * FLOOR)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 2 * FLOOR), "finalized")
    run, wanted = ActivityEnvironment().run, Payment(16, str(owner.pubkey), FLOOR + 1, "", 7)
    code, why = await refusal(run(withdrawals.build_message, wanted))
    assert (code, f"may take {FLOOR} micro-USDC" in why) == ("outflow_limited", True), why
    # As long as nobody else takes anything, half of it.
    code, why = await refusal(run(withdrawals.build_message, replace(wanted, amount=FLOOR // 2 + 1)))
    assert (code, f"may take {FLOOR // 2} micro-USDC" in why) == ("owner_outflow_limited", True), why
    assert (await run(withdrawals.build_message, replace(wanted, amount=FLOOR // 2))).message
    # What others take counts: the limit is of the whole escrow.
    other = await world.agent(17, 10**6)
    await world.land(world.escrow.build_deposit(other, 0, 3, 10**6), "finalized")
    await world.land(world.escrow.build_withdraw(world.operator, other, 0, 3, 10**6, 3), "finalized")
    code, why = await refusal(run(withdrawals.build_message, replace(wanted, amount=FLOOR)))
    assert (code, f"may take {FLOOR - 10**6} micro-USDC" in why) == ("outflow_limited", True), why


async def test_of_two_that_sign_at_the_same_moment_one_is_paid(
    world: Any, withdrawals: Any, ledger: Any, postgres_url: str, door_server: Any
) -> None:
    """Both messages were built while half of the limit was free: it is whose worker signs first, and the other takes its own share."""
    pool, door = open_pool(postgres_url), EngineDoor(door_server.url, "token")
    lander = Lander(ledger, world.escrow)
    second = WithdrawalActivities(door, ledger, Queries(pool), world.escrow, lander, world.operator, 1)
    run, asked = ActivityEnvironment().run, []
    for number, worker in ((16, withdrawals), (17, second)):
        owner = await world.agent(number, FLOOR)
        await world.land(world.escrow.build_deposit(owner, 0, number - 14, FLOOR), "finalized")
        asked.append((worker, owner, Payment(number, str(owner.pubkey), FLOOR // 2, "", number)))
    messages = [await run(worker.build_message, payment) for worker, _, payment in asked]

    async def pay(worker: Any, owner: Any, payment: Payment, message: Any) -> Any:
        signature = str(await owner.sign(base64.b64decode(message.message)))
        return await run(worker.pay, payment, message, signature)

    paying = (pay(*one, message) for one, message in zip(asked, messages, strict=True))
    first, other = sorted(await asyncio.gather(*paying), key=lambda one: str(one.code))
    assert (first.status, other.status) == (PaymentStatus.PAID, PaymentStatus.EXPIRED)
    assert other.code == "owner_outflow_limited"
    assert "may take 0 micro-USDC" in other.message
    state = await world.escrow.view.escrow_state()
    assert state.withdrawals == FLOOR // 2
    await door.close()
    await pool.dispose()


class Slow:
    """The operator's key at a signer that does not answer before it is let."""

    def __init__(self, operator: Any) -> None:
        self.pubkey, self._operator = operator.pubkey, operator
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def sign(self, message: bytes) -> Any:
        self.asked.set()
        await self.answers.wait()
        return await self._operator.sign(message)


async def test_a_slow_signer_keeps_nobody_elses_payment_waiting(
    world: Any, withdrawals: Any, ledger: Any, postgres_url: str, door_server: Any
) -> None:
    pool, door = open_pool(postgres_url), EngineDoor(door_server.url, "token")
    signer, lander = Slow(world.operator), Lander(ledger, world.escrow)
    slow = WithdrawalActivities(door, ledger, Queries(pool), world.escrow, lander, signer, 1)
    run, amount, owners = ActivityEnvironment().run, FLOOR // 8, {}
    for account in (16, 17):
        owners[account] = await world.agent(account, FLOOR)
        await world.land(world.escrow.build_deposit(owners[account], 0, account - 14, FLOOR), "finalized")

    async def pay(worker: Any, account: int) -> Any:
        payment = Payment(account, str(owners[account].pubkey), amount, "", account)
        message = await run(worker.build_message, payment)
        signature = str(await owners[account].sign(base64.b64decode(message.message)))
        return (await run(worker.pay, payment, message, signature)).status

    waiting = asyncio.create_task(pay(slow, 16))
    await signer.asked.wait()
    async with asyncio.timeout(20):
        assert await pay(withdrawals, 17) == PaymentStatus.PAID
    assert not waiting.done()
    signer.answers.set()
    # On a busy machine its blockhash may be too old by now.
    paid = 1 + (await waiting == PaymentStatus.PAID)
    assert (await world.escrow.view.escrow_state()).withdrawals == paid * amount
    await door.close()
    await pool.dispose()


async def test_who_goes_round_with_its_money_leaves_half_for_others(
    world: Any, withdrawals: Any, postgres_url: str
) -> None:
    """All accounts of an owner count together, and what waits for its signature as well."""
    owner, other = await world.agent(16, FLOOR), await world.agent(17, FLOOR)
    for slot, each in ((2, owner), (3, other)):
        await world.land(world.escrow.build_deposit(each, 0, slot, FLOOR), "finalized")
    await world.land(world.escrow.build_withdraw(world.operator, owner, 0, 2, FLOOR // 2, 3), "finalized")
    now, mine = time.time_ns(), str(owner.pubkey)
    projector = Projector(postgres_url)
    projector.apply(
        [
            (1, e.AgentRegistered(1, 16, mine, "one")),
            (2, e.AgentRegistered(1, 18, mine, "two")),
            (3, e.AgentRegistered(1, 17, str(other.pubkey), "other")),
            (4, e.DepositCredited(1, 18, FLOOR, "long ago")),
            (5, e.DepositCredited(1, 17, FLOOR, "long ago, too")),
            (6, e.WithdrawalReserved(now, 3, 18, FLOOR // 2, "round")),
            (7, e.WithdrawalFinished(now, 3, 18, FLOOR // 2, True, "paid")),
            (8, e.DepositCredited(now, 16, FLOOR // 2, "and in again")),
        ]
    )
    run = ActivityEnvironment().run
    code, why = await refusal(run(withdrawals.build_message, Payment(16, mine, 1, "", 7)))
    assert (code, "may take 0 micro-USDC" in why) == ("owner_outflow_limited", True), why
    wanted = Payment(17, str(other.pubkey), FLOOR // 4, "", 10)
    assert (await run(withdrawals.build_message, wanted)).message
    projector.apply([(9, e.WithdrawalReserved(now, 9, 17, FLOOR // 8, "another"))])
    code, why = await refusal(run(withdrawals.build_message, wanted))
    assert (code, f"may take {FLOOR // 8} micro-USDC" in why) == ("owner_outflow_limited", True), why
    projector.close()
    hour, day = (now // SECOND // length * length * SECOND for length in (HOUR_S, DAY_S))
    pool = open_pool(postgres_url)
    queries = Queries(pool)
    whole, none = (FLOOR, FLOOR // 2), (FLOOR, 0)
    assert await queries.taken(mine, hour, day, 9) == (whole, whole, 0)
    # An hour that begins after all that: what came in again was there by then.
    assert await queries.taken(mine, now + 1, day, 9) == (none, whole, 0)
    for but, waiting in ((8, 0), (9, 0), (10, FLOOR // 8)):
        assert await queries.taken(str(other.pubkey), hour, day, but) == (none, none, waiting)
    # What waits for its payment as the hour begins is there, too.
    assert await queries.taken(str(other.pubkey), now + 1, day, 9) == (none, none, 0)
    assert await queries.taken(str(Keypair().pubkey()), hour, day, 9) == ((0, 0), (0, 0), 0)
    await pool.dispose()


async def test_of_two_withdrawals_of_one_owner_the_earlier_one_is_not_blocked_by_the_later_one(
    world: Any, withdrawals: Any, postgres_url: str
) -> None:
    """Each alone is within the owner's share, and both together are more. What the owner signed counts whatever its number."""
    part = FLOOR * 2 // 5
    owner = await world.agent(16, FLOOR)
    await world.land(world.escrow.build_deposit(owner, 0, 2, FLOOR), "finalized")
    now, mine = time.time_ns(), str(owner.pubkey)
    projector = Projector(postgres_url)
    projector.apply(
        [
            (1, e.AgentRegistered(1, 16, mine, "one")),
            (2, e.DepositCredited(1, 16, FLOOR, "long ago")),
            *((number - 5, e.WithdrawalReserved(now, number, 16, part, str(number))) for number in (8, 9)),
        ]
    )
    run = ActivityEnvironment().run
    first, later = (Payment(16, mine, part, "", number) for number in (8, 9))
    message = await run(withdrawals.build_message, first)
    code, why = await refusal(run(withdrawals.build_message, later))
    assert (code, f"may take {FLOOR // 2 - part} micro-USDC" in why) == ("owner_outflow_limited", True), why
    signature = str(await owner.sign(base64.b64decode(message.message)))
    assert (await run(withdrawals.pay, first, message, signature)).status == PaymentStatus.PAID
    projector.close()


async def test_of_the_pages_only_those_are_read_in_which_something_signed_may_land(
    world: Any, ledger: Any, postgres_url: str
) -> None:
    """Others wait for this look, however many pages there are."""
    await world.land(world.escrow.build_create_page(world.operator, 1))
    owner, pool = await world.agent(16, FLOOR), open_pool(postgres_url)
    await world.land(world.escrow.build_deposit(owner, 0, 2, FLOOR), "finalized")
    signed = await world.escrow.build_withdraw(world.operator, owner, 0, 2, FLOOR // 2, 3)
    await ledger.add_submission(signed.signature, "withdrawal/3", signed.raw, 10**6, 0)
    _, _, pages = await world.escrow.view.some_pages([payment_in(signed.raw).page])
    assert [page.index for page in pages] == [0]
    async with FaultProxy(world.node.url) as proxy:
        client = AsyncClient(proxy.url)
        outflow = Outflow(world.through(client), ledger, Queries(pool))
        code, why = await refusal(outflow.must_allow(str(owner.pubkey), FLOOR // 2 + 1, 4))
        assert (code, f"may take {FLOOR // 2} micro-USDC" in why) == ("outflow_limited", True), why
        assert proxy.calls["getMultipleAccounts"] == 1
        await client.close()
    await pool.dispose()
