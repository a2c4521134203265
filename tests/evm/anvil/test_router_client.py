"""Batches over real JSON-RPC: what came of each leg, and that a batch is carried out once whatever the network and the chain do."""

import asyncio

import pytest

from chain.evm.abi import ContractError
from chain.evm.batch import LegDone, LegRefused
from chain.evm.router import Executed, Undone
from chain.evm.sending import Displaced, Landed, Refused

pytestmark = pytest.mark.anvil
USD, OZ, GWEI = 10**6, 10**8, 10**9


async def carry_out(anvil, batch, attempts=None, **how):
    async with asyncio.timeout(60):
        return await anvil.router_client(**how).carry_out(batch, attempts or [], anvil.store)


async def test_each_leg_has_its_outcome(anvil):
    legs = [
        anvil.leg(0, OZ, 2_100 * USD, 2**128 - 1),
        anvil.leg(1, OZ, 1_999 * USD),
        anvil.leg(2, -OZ, 2_000 * USD),
    ]
    batch = anvil.batch(*legs)
    rehearsed = await anvil.router_client().rehearse(batch)
    refusal = ContractError("NotCovered", (-1 * USD, 0))
    assert rehearsed == [(True, None), (False, refusal), (True, None)]
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Executed)
    assert fate.legs == (
        LegDone(0, anvil.vaults[0], 2_100 * USD, 100 * USD, 2_000 * OZ),
        LegRefused(1, anvil.vaults[1], refusal),
        LegDone(2, anvil.vaults[2], 2_000 * USD, 0, 2_000 * OZ),
    )
    assert fate.fee > 0
    assert [await anvil.balance(vault) for vault in anvil.vaults] == [8_000 * USD, 10_000 * USD, 8_000 * USD]
    assert await anvil.balance(anvil.gold) == 4_000 * USD


async def test_a_batch_that_was_carried_out_is_found_not_sent(anvil):
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    first = await carry_out(anvil, batch)
    sent = anvil.network.counted["eth_sendRawTransaction"]
    assert await carry_out(anvil, batch) == first
    assert anvil.network.counted["eth_sendRawTransaction"] == sent
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_a_batch_under_two_nonces_is_carried_out_once(anvil):
    """The attempts were lost with the disk: the router itself refuses the second."""
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    client = anvil.router_client(confirmations=1)
    first = await client._sender.follow(await client.call(batch), [], anvil.store)
    assert isinstance(first, Landed)
    # Too fresh to be seen at the depth that is asked for: so it is sent, undone by the router, and then found.
    fate = await carry_out(anvil, batch, confirmations=6)
    assert isinstance(fate, Executed)
    assert fate.hash == first.receipt.hash
    assert [attempt.nonce for attempt in anvil.stored] == [0, 1]
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_a_lost_answer_to_what_was_taken(anvil):
    anvil.network.lose_after["eth_sendRawTransaction"] = 1
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    assert isinstance(await carry_out(anvil, batch), Executed)
    assert len(anvil.stored) == 1
    assert await anvil.balance(anvil.gold) == 2_000 * USD


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("sent", [False, True])
async def test_a_crash_with_what_was_stored(anvil, sent):
    async def store(attempt):
        await anvil.store(attempt)
        if not sent:
            raise Crash

    async def end(_):
        if anvil.network.counted["eth_sendRawTransaction"]:
            raise Crash

    anvil.network.before = end
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    with pytest.raises(Crash):
        await anvil.router_client().carry_out(batch, [], store)
    assert anvil.network.counted["eth_sendRawTransaction"] == int(sent)
    anvil.network.before = None
    fate = await carry_out(anvil, batch, list(anvil.stored))
    assert isinstance(fate, Executed)
    assert [attempt.hash for attempt in anvil.stored] == [fate.hash]
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_an_atomic_batch_that_is_undone_says_why(anvil):
    legs = (anvil.leg(0, OZ, 2_000 * USD), anvil.leg(1, OZ, 1_999 * USD))
    batch = anvil.batch(*legs, atomic=True)
    reason = ContractError("LegReverted", (1, ContractError("NotCovered", (-1 * USD, 0))))
    assert await anvil.router_client().rehearse(batch) == reason
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Undone)
    assert (fate.reason, fate.hash) == (reason, anvil.stored[0].hash)
    assert await anvil.balance(anvil.gold) == 0


async def test_a_batch_that_comes_too_late_is_undone(anvil):
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD), deadline=1)
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Undone)
    assert fate.reason == ContractError("BatchExpired", (1,))


async def test_what_waits_offers_more(anvil):
    """The base fee is above the first offer until it is not."""
    blocks = iter(range(10**6))

    async def dear(_):
        if anvil.stored and next(blocks) < 12:
            await anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))

    anvil.network.before = dear
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Executed)
    assert len(anvil.stored) > 1
    assert {attempt.nonce for attempt in anvil.stored} == {0}
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_the_replaced_one_lands_instead(anvil):
    """The replacement is dropped on its way, and the first attempt, which somebody kept, is in the block."""

    async def dear_until_replaced(_):
        if not anvil.stored:
            return
        if len(anvil.stored) == 1:
            await anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))
            return
        await anvil.rpc("anvil_dropAllTransactions")
        await anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI // 10))
        if await anvil.rpc("eth_getTransactionCount", anvil.sender().address, "latest") == "0x0":
            await anvil.rpc("eth_sendRawTransaction", "0x" + anvil.stored[0].raw.hex())

    anvil.network.before = dear_until_replaced
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Executed)
    assert fate.hash == anvil.stored[0].hash
    assert len(anvil.stored) >= 2
    assert await anvil.balance(anvil.gold) == 2_000 * USD


@pytest.mark.parametrize("depth", [1, 2])
async def test_blocks_that_are_given_up(anvil, depth):
    done = []

    async def reorganise(_):
        if done or not anvil.stored:
            return
        receipt = await anvil.rpc("eth_getTransactionReceipt", anvil.stored[0].hash)
        if receipt is None or receipt.get("blockNumber") is None:
            return
        head = int(await anvil.rpc("eth_blockNumber"), 16)
        if head - int(receipt["blockNumber"], 16) + 1 == depth:
            await anvil.rpc("anvil_reorg", depth, [])
            await anvil.rpc("anvil_dropAllTransactions")
            assert await anvil.rpc("eth_getTransactionReceipt", anvil.stored[0].hash) is None
            done.append(receipt["blockHash"])

    anvil.network.before = reorganise
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Executed)
    assert len(done) == 1
    found = await anvil.rpc("eth_getTransactionReceipt", fate.hash)
    assert found["blockHash"] != done[0]
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_a_nonce_that_something_else_used(anvil):
    """Somebody sent by hand with the same key; the batch is then carried out under the next nonce."""
    used = []

    async def by_hand(_):
        if anvil.stored and not used:
            await anvil.rpc("anvil_dropAllTransactions")
            address = anvil.sender().address
            await anvil.rpc("anvil_impersonateAccount", address)
            used.append(
                await anvil.rpc("eth_sendTransaction", {"from": address, "to": address, "value": "0x1"})
            )

    anvil.network.before = by_hand
    batch = anvil.batch(anvil.leg(0, OZ, 2_000 * USD))
    fate = await carry_out(anvil, batch)
    assert isinstance(fate, Displaced)
    assert fate.by == used[0]
    anvil.network.before = None
    anvil.stored.clear()
    assert isinstance(await carry_out(anvil, batch), Executed)
    assert [attempt.nonce for attempt in anvil.stored] == [1]


async def test_a_key_without_money_is_refused(anvil):
    await anvil.rpc("anvil_setBalance", anvil.sender().address, "0x0")
    fate = await carry_out(anvil, anvil.batch(anvil.leg(0, OZ, 2_000 * USD)))
    assert isinstance(fate, Refused)
    assert "insufficient funds" in fate.message.lower()
