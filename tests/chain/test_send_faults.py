"""Signed bytes through a network that loses, breaks, delays and repeats: each lands exactly once, and every verdict is true."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.types import TxOpts

from chain.rpc import CONFIRMED, FINALIZED, ChainUnavailable
from chain.send import Expired, Failed, Fate, Landed, Refused, send_until
from chain.transactions import SignedTransaction
from fault_proxy import Fault, FaultProxy

POLL_S = 0.01
CALLS = ("sendTransaction", "getSignatureStatuses", "getEpochInfo")


class Rough:
    """A client whose way to the node can be broken, with an agent whose deposits are easy to count."""

    def __init__(self, world: Any, proxy: FaultProxy, client: AsyncClient, agent: Any) -> None:
        self.world, self.proxy, self.client, self.agent = world, proxy, client, agent

    async def deposit(self, amount: int) -> SignedTransaction:
        signed: SignedTransaction = await self.world.escrow.build_deposit(self.agent, 0, 2, amount)
        return signed

    async def send(self, signed: SignedTransaction, commitment: str = CONFIRMED, **options: Any) -> Fate:
        async with asyncio.timeout(20):
            return await send_until(self.client, signed, commitment, poll_s=POLL_S, **options)

    async def held(self) -> int:
        amount: int = await self.world.escrow.view.vault_amount("processed")
        return amount

    async def pass_blocks(self, beyond: int) -> None:
        """Wait until a finalized block is past `beyond`."""
        while self.world.node.call("getBlockHeight") <= beyond:
            await asyncio.sleep(0.05)


@pytest.fixture
async def rough(world: Any) -> AsyncIterator[Rough]:
    agent = await world.agent(16, 1_000_000)
    async with FaultProxy(world.node.url) as proxy:
        client = AsyncClient(proxy.url, timeout=0.5)
        yield Rough(world, proxy, client, agent)
        await client.close()


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    "fault", [Fault.LOSE_ANSWER, Fault.REFUSE, Fault.SERVER_ERROR, Fault.BUSY, Fault.GARBAGE, Fault.TWICE]
)
async def test_a_broken_call_never_makes_it_land_twice_or_not_at_all(
    rough: Rough, fault: Fault, method: str
) -> None:
    rough.proxy.fail(method, fault, times=2)
    signed = await rough.deposit(100)
    fate = await rough.send(signed)
    assert isinstance(fate, Landed)
    assert fate.signature == signed.signature
    assert await rough.held() == 100


async def test_a_node_that_loses_what_it_took_gets_it_again(rough: Rough) -> None:
    rough.proxy.fail("sendTransaction", Fault.SWALLOW)
    assert isinstance(await rough.send(await rough.deposit(100)), Landed)
    assert rough.proxy.calls["sendTransaction"] == 2
    assert await rough.held() == 100


async def test_a_timeout_is_unknown(rough: Rough) -> None:
    rough.proxy.fail("sendTransaction", None, seconds=0.8)
    rough.proxy.fail("getSignatureStatuses", Fault.LOSE_ANSWER, seconds=0.8)
    assert isinstance(await rough.send(await rough.deposit(100), FINALIZED), Landed)
    assert await rough.held() == 100


async def test_everything_broken_for_a_while(rough: Rough) -> None:
    for method in CALLS:
        for fault in (Fault.REFUSE, Fault.LOSE_ANSWER, Fault.GARBAGE, Fault.BUSY, Fault.SERVER_ERROR):
            rough.proxy.fail(method, fault, times=3)
    assert isinstance(await rough.send(await rough.deposit(100), FINALIZED), Landed)
    assert await rough.held() == 100


async def test_senders_of_the_same_bytes_agree(rough: Rough) -> None:
    signed = await rough.deposit(100)
    fates = await asyncio.gather(*(rough.send(signed, sent_before=True) for _ in range(5)))
    assert len(set(fates)) == 1
    assert isinstance(fates[0], Landed)
    assert await rough.held() == 100


async def test_sending_again_after_a_crash_changes_nothing(rough: Rough) -> None:
    signed = await rough.deposit(100)
    first = await rough.send(signed)
    sent = rough.proxy.calls["sendTransaction"]
    assert await rough.send(signed, FINALIZED, sent_before=True) == first
    assert rough.proxy.calls["sendTransaction"] == sent
    assert await rough.held() == 100


async def test_the_node_dies_and_comes_back(rough: Rough) -> None:
    signed = await rough.deposit(100)
    rough.world.node.process.kill()
    sending = asyncio.create_task(rough.send(signed))
    await asyncio.sleep(0.3)
    assert not sending.done()
    await asyncio.to_thread(rough.world.node.process.start)
    assert isinstance(await sending, Landed)
    assert await rough.held() == 100


@pytest.mark.parametrize("sent_before", [False, True])
async def test_expired_bytes_are_told_from_landed_ones(rough: Rough, sent_before: bool) -> None:
    landed, late = await rough.deposit(100), await rough.deposit(101)
    assert isinstance(await rough.send(landed), Landed)
    await rough.pass_blocks(max(landed.last_valid_block_height, late.last_valid_block_height))
    assert isinstance(await rough.send(landed, sent_before=sent_before), Landed)
    assert await rough.send(late, sent_before=sent_before) == Expired(late.signature)
    assert await rough.held() == 100


async def test_nothing_expires_while_the_chain_cannot_be_asked(rough: Rough) -> None:
    late = await rough.deposit(100)
    await rough.pass_blocks(late.last_valid_block_height)
    rough.proxy.fail("getEpochInfo", Fault.GARBAGE, times=10**6)
    sending = asyncio.create_task(rough.send(late, sent_before=True))
    await asyncio.sleep(0.3)
    assert not sending.done()
    rough.proxy.heal()
    assert await sending == Expired(late.signature)


async def test_a_refusal_is_final_at_once_only_for_bytes_that_nobody_has(rough: Rough) -> None:
    fresh = await rough.deposit(2_000_000)
    refused = await rough.send(fresh)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.expired, await rough.held()) == ("Custom(1)", False, 0)
    # The answer to the first submission is lost: the bytes may be on their way, so the second's refusal decides nothing yet.
    unsure = await rough.deposit(2_000_001)
    rough.proxy.fail("sendTransaction", Fault.REFUSE)
    sending = asyncio.create_task(rough.send(unsure))
    await asyncio.sleep(0.5)
    assert not sending.done()
    rough.world.node.call("perpdexMintTestUsdc", str(rough.agent.pubkey), 2_000_000)
    assert isinstance(await sending, Landed)
    assert await rough.held() == 2_000_001


async def test_a_refusal_that_stands_is_told_when_the_bytes_have_expired(rough: Rough) -> None:
    fate = await rough.send(await rough.deposit(2_000_000), sent_before=True)
    assert isinstance(fate, Refused)
    assert (fate.code, fate.expired) == ("Custom(1)", True)


async def test_a_failure_on_chain_is_final_and_paid_for(rough: Rough) -> None:
    signed = await rough.deposit(2_000_000)
    # Somebody else hands the bytes on without a trial run.
    await rough.client.send_raw_transaction(signed.raw, TxOpts(skip_confirmation=True, skip_preflight=True))
    fate = await rough.send(signed)
    assert isinstance(fate, Failed)
    assert (fate.signature, fate.code) == (signed.signature, "Custom(1)")
    assert "Program log: Error: insufficient funds" in fate.logs
    receipt = await rough.world.escrow.view.receipt(signed.signature)
    assert (receipt.fee, receipt.succeeded) == (5_000, False)
    assert await rough.held() == 0


async def test_a_page_settles_once_through_every_fault(rough: Rough) -> None:
    world = rough.world
    await rough.send(await rough.deposit(1_000))
    await world.land(world.escrow.build_open_batch(world.operator, 1, bytes(32), 1))
    first = await world.escrow.build_settle_page(world.operator, 1, 0, [(0, 10), (2, -10)])
    second = await world.escrow.build_settle_page(world.operator, 1, 0, [(0, 10), (2, -10)], price=1)
    rough.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    rough.proxy.fail("sendTransaction", Fault.TWICE, times=10)
    fates = await asyncio.gather(rough.send(first), rough.send(second))
    assert sorted(type(fate).__name__ for fate in fates) in (["Landed", "Refused"], ["Failed", "Landed"])
    page = await world.escrow.view.page(0)
    assert [slot.balance for slot in page.slots] == [10, 0, 990]


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.SERVER_ERROR, Fault.GARBAGE, Fault.BUSY])
async def test_reads_say_when_the_chain_cannot_be_asked(rough: Rough, fault: Fault) -> None:
    escrow = rough.world.through(rough.client)
    for method in ("getMultipleAccounts", "getSignaturesForAddress", "getTransaction", "getLatestBlockhash"):
        rough.proxy.fail(method, fault, times=10)
    for reading in (
        escrow.view.escrow_state(),
        escrow.view.snapshot(),
        escrow.view.slot_of(16),
        escrow.view.vault_amount(),
        escrow.view.deposits_since(None),
        escrow.view.receipt("1" * 64),
        escrow.blockhash(),
    ):
        with pytest.raises(ChainUnavailable):
            await reading
