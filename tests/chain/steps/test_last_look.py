"""What is given back was not paid: a withdrawal is released only by what the finalized chain says, after everything signed expired."""

import asyncio
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
from activities.withdrawals import (
    BETWEEN_LOOKS_S,
    Closed,
    Closing,
    Ending,
    Payment,
    WithdrawalActivities,
)
from chain.rpc import ChainUnavailable
from chain.transactions import SignedTransaction
from core import events as e
from fault_proxy import Fault, FaultProxy
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import EXPIRED, FAILED, SIGNED

AMOUNT = 5_000_000


class Payer:
    """An account with money in the escrow, and what is signed and told about its withdrawals."""

    def __init__(self, world: Any, ledger: Any, steps: Any, door: Any, owner: Any) -> None:
        self.world, self.ledger, self.steps, self.door, self.owner = world, ledger, steps, door, owner
        self.proxy: Any = None

    async def signed(self, withdrawal: int, status: str) -> SignedTransaction:
        """Bytes in the ledger, with what the ledger believes of them."""
        built: SignedTransaction = await self.world.escrow.build_withdraw(
            self.world.operator, self.owner, 0, 2, AMOUNT, withdrawal
        )
        reference, height = f"withdrawal/{withdrawal}", built.last_valid_block_height
        await self.ledger.add_submission(built.signature, reference, built.raw, height, tried=0)
        if status != SIGNED:
            await self.ledger.close_submission(built.signature, status)
        return built

    async def land(self, signed: SignedTransaction) -> None:
        async def built() -> SignedTransaction:
            return signed

        await self.world.land(built(), "finalized")

    async def give_back(self, withdrawal: int, last_height: int = 0, resumed: bool = False) -> Closed:
        payment = Payment(16, str(self.owner.pubkey), AMOUNT, "", withdrawal)
        closing = Closing(payment, paid=False, signature="", last_height=last_height, resumed=resumed)
        while (closed := await self.look(closing)).ending == Ending.WAITING:
            await asyncio.sleep(0.2)
        return closed

    async def look(self, closing: Closing) -> Closed:
        closed: Closed = await ActivityEnvironment().run(self.steps.finish, closing)
        return closed

    def told(self) -> list[tuple[int, bool, str]]:
        """What the engine was told of withdrawals."""
        return [(one["withdrawal"], one["paid"], one["signature"]) for one in self.door.commands]


@pytest.fixture
async def payer(world: Any, ledger: Any, withdrawals: Any, door_server: Any) -> Payer:
    owner = await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 50_000_000), "finalized")
    return Payer(world, ledger, withdrawals, door_server, owner)


@pytest.mark.cell("finish: look", "RPC lies")
async def test_what_landed_though_a_node_called_it_expired_is_paid(payer: Payer) -> None:
    signed = await payer.signed(7, EXPIRED)
    await payer.land(signed)
    assert await payer.give_back(7) == Closed(Ending.PAID, signed.signature)
    assert payer.told() == [(7, True, signed.signature)]


async def test_nothing_is_given_back_while_signed_bytes_may_land(payer: Payer) -> None:
    signed = await payer.signed(7, SIGNED)
    giving = asyncio.create_task(payer.give_back(7))
    await asyncio.sleep(0.5)
    assert (giving.done(), payer.told()) == (False, [])
    await payer.land(signed)
    assert await giving == Closed(Ending.PAID, signed.signature)
    assert payer.told() == [(7, True, signed.signature)]


async def test_what_may_still_land_holds_no_place_in_which_others_are_paid(payer: Payer) -> None:
    """Not until it expires: refused bytes are free of charge for whoever has them signed, and there are fifty places."""
    await payer.signed(7, FAILED)
    closing = Closing(Payment(16, str(payer.owner.pubkey), AMOUNT, "", 7), paid=False, signature="")
    async with asyncio.timeout(BETWEEN_LOOKS_S / 2):
        assert await payer.look(closing) == Closed(Ending.WAITING)
    assert payer.told() == []


async def test_no_message_is_built_that_pays_where_the_escrow_would_refuse_to(payer: Payer) -> None:
    stranger = await payer.world.agent(17, 1)
    theirs = payer.world.escrow.wallet_of(stranger.pubkey)
    own = payer.world.escrow.wallet_of(payer.owner.pubkey)
    for destination in (stranger.pubkey, theirs, payer.owner.pubkey, payer.world.escrow.mint):
        payment = Payment(16, str(payer.owner.pubkey), AMOUNT, str(destination), 7)
        with pytest.raises(ApplicationError) as refused:
            await ActivityEnvironment().run(payer.steps.build_message, payment)
        assert (refused.value.type, refused.value.non_retryable) == ("bad_destination", True)
    payment = Payment(16, str(payer.owner.pubkey), AMOUNT, str(own), 7)
    await ActivityEnvironment().run(payer.steps.build_message, payment)


@pytest.fixture
async def lied_to(payer: Payer, ledger: Any, door_server: Any, postgres_url: str) -> AsyncIterator[Payer]:
    """The same payer, whose steps reach the chain through a proxy: `payer.proxy`."""
    async with FaultProxy(payer.world.node.url) as proxy:
        client, door, pool = (
            AsyncClient(proxy.url, timeout=0.5),
            EngineDoor(door_server.url, "token"),
            open_pool(postgres_url),
        )
        escrow = payer.world.through(client)
        payer.proxy, lander = proxy, Lander(ledger, escrow)
        payer.steps = WithdrawalActivities(
            door, ledger, Queries(pool), escrow, lander, payer.world.operator, minimum=0
        )
        yield payer
        await client.close()
        await door.close()
        await pool.dispose()


@pytest.mark.cell("finish: look", "RPC lies")
@pytest.mark.parametrize(
    "lies",
    [{"getEpochInfo": 1}, {"getEpochInfo": 10**6}, {"getEpochInfo": 1, "getBlockHeight": 1}],
    ids=["once", "one call always", "a whole round"],
)
async def test_a_node_that_calls_live_bytes_expired_gives_nothing_back(
    lied_to: Payer, lies: dict[str, int]
) -> None:
    signed = await lied_to.signed(7, EXPIRED)
    for call, times in lies.items():
        lied_to.proxy.fail(call, Fault.LIE, times=times)
    giving = asyncio.create_task(lied_to.give_back(7))
    await asyncio.sleep(1.5)
    assert (giving.done(), lied_to.told()) == (False, [])
    await lied_to.land(signed)
    assert await giving == Closed(Ending.PAID, signed.signature)
    assert lied_to.told() == [(7, True, signed.signature)]


@pytest.mark.cell("finish: look", "chain pauses")
async def test_while_the_chain_stands_still_nothing_is_given_back(lied_to: Payer) -> None:
    signed = await lied_to.signed(7, SIGNED)
    pid = lied_to.world.node.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ChainUnavailable):
            await lied_to.give_back(7)
        assert lied_to.told() == []
    finally:
        os.kill(pid, signal.SIGCONT)
    await lied_to.land(signed)
    assert await lied_to.give_back(7) == Closed(Ending.PAID, signed.signature)


async def test_what_the_workflow_had_signed_counts_when_the_ledger_lost_it(payer: Payer) -> None:
    signed = await payer.world.escrow.build_withdraw(
        payer.world.operator, payer.owner, 0, 2, AMOUNT, withdrawal=7
    )
    giving = asyncio.create_task(payer.give_back(7, last_height=signed.last_valid_block_height))
    await asyncio.sleep(0.5)
    assert not giving.done()
    await payer.land(signed)
    assert (await giving).ending == Ending.PAID


async def test_what_expired_unpaid_is_given_back(payer: Payer) -> None:
    await payer.signed(7, EXPIRED)
    assert await payer.give_back(7) == Closed(Ending.RELEASED)
    assert payer.told() == [(7, False, "")]


@pytest.mark.parametrize(
    ("believed", "ending"),
    [(EXPIRED, Ending.UNDECIDED), (SIGNED, Ending.UNDECIDED), (FAILED, Ending.RELEASED)],
)
async def test_after_a_later_payment_only_certainty_gives_back(
    payer: Payer, believed: str, ending: Ending
) -> None:
    await payer.signed(7, believed)
    await payer.land(await payer.signed(8, SIGNED))
    assert (await payer.give_back(7)).ending == ending
    assert payer.told() == ([(7, False, "")] if ending == Ending.RELEASED else [])


async def test_after_a_later_payment_a_transaction_that_is_found_decides(payer: Payer) -> None:
    signed = await payer.signed(7, EXPIRED)
    await payer.land(signed)
    await payer.land(await payer.signed(8, SIGNED))
    assert await payer.give_back(7) == Closed(Ending.PAID, signed.signature)


async def test_what_nobody_signed_is_given_back_after_a_later_payment(payer: Payer) -> None:
    await payer.land(await payer.signed(8, SIGNED))
    assert await payer.give_back(7) == Closed(Ending.RELEASED)


async def test_signed_bytes_that_the_ledger_lost_are_not_taken_for_unsigned(payer: Payer) -> None:
    await payer.land(await payer.signed(8, SIGNED))
    assert (await payer.give_back(7, last_height=1)).ending == Ending.UNDECIDED
    assert payer.told() == []


async def test_a_resumed_withdrawal_of_which_nothing_is_known_is_nobodys_guess(payer: Payer) -> None:
    """Its workflow's history and the signed bytes may both be lost: a later payment then hides whether it was paid."""
    await payer.land(await payer.signed(8, SIGNED))
    assert await payer.give_back(7, resumed=True) == Closed(Ending.UNDECIDED)
    assert payer.told() == []
    assert await payer.give_back(7) == Closed(Ending.RELEASED)


async def test_of_all_pages_only_that_of_the_account_is_read(lied_to: Payer, postgres_url: str) -> None:
    """Without it, or where the account is not there, the escrow says how many pages there are, and all are read."""
    registered = e.AgentRegistered(1, 16, str(lied_to.owner.pubkey), "a")
    for records, reads in (
        ([], 2),
        ([(1, registered), (2, e.SlotBound(2, 16, 0, 2))], 1),
        ([(3, e.SlotBound(3, 16, 1, 2))], 3),
    ):
        if records:
            projector = Projector(postgres_url)
            projector.apply(records)
            projector.close()
        before = lied_to.proxy.calls["getMultipleAccounts"]
        assert await lied_to.give_back(7) == Closed(Ending.RELEASED)
        assert lied_to.proxy.calls["getMultipleAccounts"] - before == reads
