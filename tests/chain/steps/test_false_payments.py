"""A node that calls a signature final pays nobody: only the slot's number or the landed transaction does."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.withdrawals import (
    Closing,
    Ending,
    MessageToSign,
    Payment,
    PaymentOutcome,
    PaymentStatus,
    WithdrawalActivities,
)
from chain.transactions import UnsignedTransaction
from fault_proxy import Fault, FaultProxy
from ledger.database import open_pool
from ledger.queries import Queries
from ledger.settlement import LANDED, SIGNED

AMOUNT, DEPOSIT = 5_000_000, 50_000_000
ALWAYS = 10**6
LIED = "getSignatureStatuses"


class Payer:
    """An account with two withdrawals, 7 and 8, and a node that can be told to lie."""

    def __init__(
        self, world: Any, ledger: Any, steps: WithdrawalActivities, proxy: FaultProxy, owner: Any
    ) -> None:
        self.world, self.ledger, self.steps, self.proxy, self.owner = world, ledger, steps, proxy, owner

    def payment(self, number: int) -> Payment:
        return Payment(16, str(self.owner.pubkey), AMOUNT, "", number)

    async def signed(self, number: int) -> tuple[Payment, MessageToSign, str]:
        message = await ActivityEnvironment().run(self.steps.build_message, self.payment(number))
        signature = await self.owner.sign(base64.b64decode(message.message))
        return self.payment(number), message, str(signature)

    async def pay(self, signed: tuple[Payment, MessageToSign, str]) -> PaymentOutcome:
        return await ActivityEnvironment().run(self.steps.pay, *signed)

    async def balance(self) -> int:
        place = await self.world.escrow.view.slot_of(16, "finalized")
        return int(place.slot.balance)


@pytest.fixture
async def payer(world: Any, ledger: Any, door_server: Any, postgres_url: str) -> AsyncIterator[Payer]:
    owner = await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, DEPOSIT), "finalized")
    door, pool = EngineDoor(door_server.url, "token"), open_pool(postgres_url)
    async with FaultProxy(world.node.url) as proxy, AsyncClient(proxy.url) as client:
        escrow = world.through(client)
        lander = Lander(ledger, escrow)
        steps = WithdrawalActivities(door, ledger, Queries(pool), escrow, lander, world.operator, 0)
        yield Payer(world, ledger, steps, proxy, owner)
    await door.close()
    await pool.dispose()


@pytest.mark.parametrize(("lies", "ends"), [(1, PaymentStatus.REFUSED), (ALWAYS, PaymentStatus.EXPIRED)])
async def test_after_a_later_payment_no_lie_about_a_signature_pays(
    payer: Payer, lies: int, ends: PaymentStatus
) -> None:
    seven, eight = await payer.signed(7), await payer.signed(8)
    assert (await payer.pay(eight)).status == PaymentStatus.PAID
    payer.proxy.fail(LIED, Fault.LIE, times=lies)
    assert (await payer.pay(seven)).status == ends
    payer.proxy.heal()
    assert await payer.balance() == DEPOSIT - AMOUNT
    assert LANDED not in [one.status for one in await payer.ledger.submissions("withdrawal/7")]
    closing = Closing(seven[0], paid=False, signature="", last_height=seven[1].last_valid_block_height)
    while (closed := await ActivityEnvironment().run(payer.steps.finish, closing)).ending == Ending.WAITING:
        await asyncio.sleep(0.2)
    assert closed.ending == Ending.UNDECIDED


async def test_what_was_paid_before_a_later_payment_is_found_by_its_transaction(payer: Payer) -> None:
    """The worker died after sending 7; 8 was paid before another one looked."""
    seven, eight = await payer.signed(7), await payer.signed(8)
    unsigned = UnsignedTransaction(base64.b64decode(seven[1].message), seven[1].last_valid_block_height)
    from_owner = await payer.world.escrow.combine_withdraw(
        unsigned, payer.world.operator, payer.owner.pubkey, await payer.owner.sign(unsigned.message)
    )
    height = from_owner.last_valid_block_height
    await payer.ledger.add_submission(from_owner.signature, "withdrawal/7", from_owner.raw, height, 0)

    async def built() -> Any:
        return from_owner

    await payer.world.land(built(), "finalized")
    assert (await payer.pay(eight)).status == PaymentStatus.PAID
    assert [one.status for one in await payer.ledger.submissions("withdrawal/7")] == [SIGNED]
    assert await payer.pay(seven) == PaymentOutcome(PaymentStatus.PAID, from_owner.signature)
    assert await payer.balance() == DEPOSIT - 2 * AMOUNT
