"""One call, one nonce, one fate: whatever the node, the network and the chain do."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.evm.fees import Fees, going_rate, replacement
from chain.evm.node import Block
from chain.evm.sending import Displaced, Landed, Refused, Reverted, WrongChain

GWEI = 10**9


async def follow(desk, attempts=None, call=None, seconds=20):
    async with asyncio.timeout(seconds):
        return await desk.sender.follow(
            call or desk.call, desk.stored if attempts is None else attempts, desk.stored
        )


async def test_a_call_lands_and_waits_until_blocks_lie_on_it(desk):
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    assert fate.receipt.hash == desk.stored[0].hash
    assert len(desk.chain.blocks) - fate.receipt.block == 3
    assert (desk.executed(), len(desk.stored), len(desk.chain.submissions)) == (1, 1, 1)


async def test_the_next_call_has_the_next_nonce(desk):
    await follow(desk)
    desk.stored.clear()
    assert isinstance(await follow(desk, [], desk.other_call), Landed)
    assert desk.stored[0].nonce == 1


async def test_a_call_that_is_undone(desk):
    desk.chain.reverts.add(desk.call.data)
    fate = await follow(desk)
    assert isinstance(fate, Reverted)
    assert fate.receipt.hash == desk.stored[0].hash


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
@pytest.mark.parametrize(
    "method",
    [
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
        "eth_getTransactionCount",
        "eth_getBlockByNumber",
        "eth_maxPriorityFeePerGas",
        "eth_chainId",
    ],
)
async def test_lost_calls_and_answers_are_asked_about_again(desk, lost, method):
    getattr(desk.chain, lost)[method] = 2
    assert isinstance(await follow(desk), Landed)
    assert desk.executed() == 1
    assert len(desk.stored) == 1


async def test_a_crash_after_sending_finds_what_was_sent(desk):
    """The answer to the submission never came, the process died, and the next one has only what was stored."""
    desk.chain.lose_after["eth_sendRawTransaction"] = 10**6
    desk.chain.weather = lambda chain: None
    with pytest.raises(TimeoutError):
        await follow(desk, seconds=0.2)
    assert desk.chain.pool
    desk.chain.lose_after.clear()
    desk.chain.weather = lambda chain: chain.mine()
    assert isinstance(await follow(desk), Landed)
    assert (desk.executed(), len(desk.stored)) == (1, 1)


async def test_a_crash_before_sending_sends_what_was_stored(desk):
    desk.chain.lose_before["eth_sendRawTransaction"] = 10**6
    desk.chain.weather = lambda chain: None
    with pytest.raises(TimeoutError):
        await follow(desk, seconds=0.2)
    desk.chain.lose_before.clear()
    desk.chain.weather = lambda chain: chain.mine()
    fate = await follow(desk)
    assert fate.receipt.hash == desk.stored[0].hash
    assert len(desk.stored) == 1


async def test_what_waits_offers_more(desk):
    """The base fee rises above the first offer; the replacement lands, and only it."""
    desk.chain.base_fee = GWEI
    rises = iter([GWEI] + [5 * GWEI] * 1_000)

    def weather(chain):
        chain.base_fee = next(rises)
        chain.mine()

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    first, second, *_ = desk.stored
    assert {attempt.nonce for attempt in desk.stored} == {0}
    assert second.fees.most * 10 >= first.fees.most * 11
    assert second.fees.priority * 10 >= first.fees.priority * 11
    assert fate.receipt.hash in [attempt.hash for attempt in desk.stored[1:]]
    assert desk.executed() == 1


async def test_the_replaced_one_lands_instead(desk):
    """The replacement reached us and not the block maker: the first attempt is in the block."""
    taken = []

    def weather(chain):
        if len(desk.stored) == 2 and not taken:
            sender = desk.sender.address
            chain.pool.clear()
            chain.take(desk.stored[0].raw)
            taken.append(chain.pool[sender, 0])
            chain.base_fee = GWEI
        elif not taken:
            chain.base_fee = 50 * GWEI
        chain.mine()

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    assert fate.receipt.hash == desk.stored[0].hash
    assert desk.executed() == 1


async def test_offers_stop_at_the_cap(new_desk):
    desk = new_desk(fee_cap=4 * GWEI)
    rounds = iter(range(10**6))

    def weather(chain):
        chain.base_fee = 6 * GWEI if next(rounds) < 60 else 3 * GWEI
        chain.mine()

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    assert max(attempt.fees.most for attempt in desk.stored) <= 4 * GWEI
    assert len(desk.stored) == 1


async def test_a_replacement_that_cannot_be_paid_does_not_keep_the_first_from_landing(desk):
    """There is money for the first offer only, and the node has forgotten it."""
    rounds = iter(range(10**6))

    def weather(chain):
        if len(desk.stored) == 1:
            chain.purse = desk.stored[0].fees.most
        if next(rounds) < 8:
            chain.base_fee = 50 * GWEI if desk.stored else GWEI
            chain.pool.clear()
        else:
            chain.base_fee = GWEI
        chain.mine()

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    assert fate.receipt.hash == desk.stored[0].hash
    assert len(desk.stored) > 1


async def test_a_node_that_forgets_is_told_again(new_desk):
    desk = new_desk(patience=10**6)
    rounds = iter(range(10**6))

    def weather(chain):
        if next(rounds) < 5:
            chain.pool.clear()
        chain.mine()

    desk.chain.weather = weather
    assert isinstance(await follow(desk), Landed)
    assert desk.executed() == 1


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
async def test_blocks_that_are_given_up(desk, depth, forget):
    """The transaction was in a block, and then it was not: it lands again, once."""
    given_up = []

    def weather(chain):
        chain.mine()
        found = [number for number, (_, sent) in enumerate(chain.blocks) if sent]
        if found and len(chain.blocks) - found[0] == depth and len(given_up) < 2:
            chain.give_up(depth, forget=forget)
            given_up.append(found[0])

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Landed)
    assert len(given_up) == 2
    assert desk.chain.blocks[fate.receipt.block][0] == fate.receipt.block_hash
    assert desk.executed() == 1


async def test_a_nonce_that_something_else_used(desk):
    """Somebody used the key by hand. That is proven by the transaction itself, and the call may be sent anew."""
    desk.chain.lose_before["eth_sendRawTransaction"] = 1
    other = desk.raw(0, b"by hand")

    def weather(chain):
        if desk.stored and not any(sent for _, sent in chain.blocks) and not chain.pool:
            chain.take(other)
        chain.mine()

    desk.chain.weather = weather
    fate = await follow(desk)
    assert isinstance(fate, Displaced)
    ((number, by),) = [(n, sent[0].hash) for n, (_, sent) in enumerate(desk.chain.blocks) if sent]
    assert (fate.by, fate.block) == (by, number)
    desk.chain.weather = lambda chain: chain.mine()
    desk.stored.clear()
    assert isinstance(await follow(desk, []), Landed)
    assert (desk.stored[0].nonce, desk.executed()) == (1, 1)


async def test_a_nonce_that_something_else_used_before_all_that_the_node_remembers(desk):
    """The worker was away for longer than the 128 blocks of which most nodes know how things stood."""
    desk.chain.lose_before["eth_sendRawTransaction"] = 10**6
    desk.chain.weather = lambda chain: None
    with pytest.raises(TimeoutError):
        await follow(desk, seconds=0.1)
    desk.chain.lose_before.clear()
    desk.chain.keeps = 128
    desk.chain.take(desk.raw(0, b"by hand"))
    desk.chain.mine()
    desk.chain.weather = lambda chain: chain.mine()
    for _ in range(200):
        desk.chain.mine()
    fate = await follow(desk)
    assert (fate.by, fate.block) == ("", len(desk.chain.blocks) - 3)
    desk.stored.clear()
    assert isinstance(await follow(desk, []), Landed)
    assert (desk.stored[0].nonce, desk.executed()) == (1, 1)


async def test_what_landed_before_all_that_the_node_remembers_is_found(desk):
    desk.chain.lose_after["eth_sendRawTransaction"] = 10**6
    desk.chain.weather = lambda chain: None
    with pytest.raises(TimeoutError):
        await follow(desk, seconds=0.1)
    desk.chain.lose_after.clear()
    desk.chain.keeps = 128
    desk.chain.weather = lambda chain: chain.mine()
    for _ in range(200):
        desk.chain.mine()
    answered, missing = desk.chain.answer, [None]

    def slow(method, params):
        """The node that is asked first has no receipts yet."""
        if method == "eth_getTransactionReceipt" and missing:
            return missing.pop()
        return answered(method, params)

    desk.chain.answer = slow
    fate = await follow(desk)
    assert (fate.receipt.hash, len(desk.stored), desk.executed()) == (desk.stored[0].hash, 1, 1)


async def test_a_nonce_from_a_node_that_was_behind(desk):
    for _ in range(3):
        desk.chain.mine()
    desk.chain.take(desk.raw(0, b"before"))
    desk.chain.mine()
    desk.chain.mine()
    desk.chain.weather = lambda chain: chain.mine() if desk.stored else None
    answered = desk.chain.answer

    def old(method, params):
        if method == "eth_getTransactionCount" and params[1] == "latest":
            return "0x0"
        return answered(method, params)

    desk.chain.answer = old
    fate = await follow(desk)
    assert isinstance(fate, Displaced)
    desk.chain.answer = answered
    desk.stored.clear()
    assert isinstance(await follow(desk, []), Landed)
    assert desk.stored[0].nonce == 1


async def test_a_receipt_that_is_missing_is_no_proof(desk):
    """The index of the node is behind its blocks: the nonce is used, by ours, and there is no receipt yet."""
    answered, missing = desk.chain.answer, [None] * 5

    def slow(method, params):
        if method == "eth_getTransactionReceipt" and missing:
            return missing.pop()
        return answered(method, params)

    desk.chain.answer = slow
    assert isinstance(await follow(desk), Landed)
    assert not missing


async def test_a_refusal_costs_nothing(desk):
    desk.chain.refuses = "insufficient funds for gas * price + value"
    fate = await follow(desk)
    assert fate == Refused("insufficient funds for gas * price + value")
    assert desk.executed() == 0


@pytest.mark.parametrize(
    "words",
    [
        "exceeds block gas limit",
        "transaction gas limit too high (cap: 16777216, tx: 16981072)",
        "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit",
        "transaction gas limit (16981072) is greater than the cap (16777216)",
        "transaction's gas limit 30265092 exceeds block's gas limit 30000000",
    ],
)
async def test_more_gas_than_a_node_takes_is_a_refusal(desk, words):
    desk.chain.refuses = words
    assert await follow(desk) == Refused(words)


async def test_a_refusal_of_what_may_have_been_sent_is_no_answer(desk):
    """The node has it, its answer is lost, and by then the money for it is spoken for."""
    desk.chain.lose_after["eth_sendRawTransaction"] = 1
    rounds = iter(range(10**6))

    def weather(chain):
        if chain.submissions:
            chain.refuses = "insufficient funds"
        if next(rounds) > 20:
            chain.mine()

    desk.chain.weather = weather
    assert isinstance(await follow(desk), Landed)
    assert len(desk.chain.submissions) > 1
    assert desk.executed() == 1


async def test_a_node_of_another_chain_is_sent_nothing(desk):
    answered = desk.chain.answer
    desk.chain.answer = lambda method, params: "0x1" if method == "eth_chainId" else answered(method, params)
    with pytest.raises(WrongChain):
        await follow(desk)
    assert desk.chain.submissions == []


@pytest.mark.parametrize("seed", range(40))
async def test_bad_weather(new_desk, seed):
    """Everything at once, at random, with crashes in between: each of three calls lands once, and only once."""
    draw = random.Random(seed)
    desk = new_desk(patience=2)
    chain = desk.chain
    calm = [400]

    def weather(chain):
        calm[0] -= 1
        bad = calm[0] > 0
        chain.base_fee = draw.randrange(GWEI, 9 * GWEI) if bad else GWEI
        chain.behind = draw.choice([0, 0, 0, 1, 2]) if bad and len(chain.blocks) > 3 else 0
        if bad and draw.random() < 0.1:
            # Never deeper than what is waited for: nothing can be built on a chain that does that.
            chain.give_up(draw.randrange(1, 3), forget=draw.random() < 0.5)
        if bad and draw.random() < 0.1:
            chain.pool.clear()
        for fault in (chain.lose_before, chain.lose_after):
            for method in ("eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getTransactionCount"):
                fault[method] = int(bad and draw.random() < 0.15)
        if draw.random() < 0.7:
            chain.mine()

    chain.weather = weather
    for number in range(3):
        call = type(desk.call)(desk.call.to, bytes([number]), 50_000)
        desk.stored.clear()
        while True:
            try:
                fate = await follow(desk, list(desk.stored), call, seconds=draw.choice([0.01, 0.05, 10]))
            except TimeoutError:
                continue
            if isinstance(fate, Landed):
                break
            # An old view offered a nonce that was used: nothing of it can land, so it is signed anew.
            assert isinstance(fate, Displaced)
            desk.stored.clear()
        calm[0] = 400
    chain.weather = lambda chain: chain.mine()
    for _ in range(3):
        chain.mine()
    for number in range(3):
        call = type(desk.call)(desk.call.to, bytes([number]), 50_000)
        assert desk.executed(call) == 1


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(1, 10**12),
)
@settings(max_examples=300)
def test_a_replacement_is_a_tenth_more_and_within_the_cap(most, part, base, priority, cap):
    waiting = Fees(most, min(part, most))
    rate = going_rate(Block(1, "", 0, base, 30_000_000), priority, cap)
    assert 0 <= rate.priority <= rate.most <= cap
    fees = replacement(waiting, rate, cap)
    if fees is None:
        return
    assert fees.priority <= fees.most <= cap
    assert fees.most >= rate.most
    assert fees.most * 10 >= waiting.most * 11
    assert fees.priority * 10 >= waiting.priority * 11
    assert fees.most > waiting.most
