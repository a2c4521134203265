"""What the owner is given to sign pays more after each transaction that came too late."""

import base64
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_price
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction
from temporalio.testing import ActivityEnvironment

from activities.landing import Lander
from activities.withdrawals import Payment
from chain.bids import first_offer, next_offer, offered
from chain.transactions import SignedTransaction
from ledger.settlement import EXPIRED, FAILED, LANDED


def offering(price: int) -> SignedTransaction:
    """Bytes that offer so much, and nothing else."""
    payer = Keypair()
    message = Message([set_compute_unit_price(price)], payer.pubkey())
    signed = Transaction([payer], message, message.recent_blockhash)
    return SignedTransaction(bytes(signed), str(signed.signatures[0]), 9)


def price(message: str) -> int:
    return offered(bytes(Transaction.new_unsigned(Message.from_bytes(base64.b64decode(message)))))


async def keep(ledger: Any, reference: str, price: int, status: str) -> None:
    made = offering(price)
    tried = len(await ledger.submissions(reference))
    await ledger.add_submission(made.signature, reference, made.raw, 9, tried)
    await ledger.close_submission(made.signature, status)


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ((), 0),
        (((0, FAILED),), 0),
        (((0, EXPIRED),), 1_000),
        (((0, EXPIRED), (1_000, EXPIRED), (2_000, EXPIRED)), 4_000),
        (((600_000, EXPIRED),), 1_000_000),
    ],
)
async def test_the_fee_grows_with_each_message_that_expired(
    world: Any, ledger: Any, withdrawals: Any, tried: tuple[tuple[int, str], ...], expected: int
) -> None:
    owner = await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 50_000_000))
    for fee, status in tried:
        await keep(ledger, "withdrawal/7", fee, status)
    await keep(ledger, "withdrawal/70", 500_000, EXPIRED)
    payment = Payment(16, str(owner.pubkey), 5_000_000, "", 7)
    message = await ActivityEnvironment().run(withdrawals.build_message, payment)
    assert price(message.message) == expected


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (0, [1_000, 2_000, 4_000]),
        (5_000, [10_000, 20_000, 40_000]),
        (900_000, [1_000_000, 1_000_000, 1_000_000]),
        (5_000_000, [5_000_000, 5_000_000, 5_000_000]),
    ],
)
async def test_a_fee_is_never_below_the_one_that_expired(
    world: Any, ledger: Any, first: int, then: list[int]
) -> None:
    lander = Lander(ledger, world.escrow, first)
    for fee in [first, *then]:
        assert await lander.fee("batch/1/seal", await ledger.submissions("batch/1/seal")) == fee
        await keep(ledger, "batch/1/seal", fee, EXPIRED)


async def test_a_batch_after_an_expensive_one_begins_high_and_comes_down(world: Any, ledger: Any) -> None:
    """The chain wants 64,000: the first step finds that out by waiting, and no other one has to."""
    for fee in (0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000):
        await keep(ledger, "batch/1/open", fee, EXPIRED)
    await keep(ledger, "batch/1/open", 64_000, LANDED)
    # Nothing is kept in memory: a worker that starts now knows it, too.
    lander = Lander(ledger, world.escrow)
    first = {
        name: await lander.fee(name, [])
        for name in ("batch/1/page/0", "batch/1/seal", "withdrawal/3", "slot/5")
    }
    assert set(first.values()) == {64_000}
    for batch, fee in ((2, 32_000), (3, 16_000), (7, 1_000), (8, 0), (80, 0)):
        assert await lander.fee(f"batch/{batch}/open", []) == fee
    dear = Lander(ledger, world.escrow, 20_000)
    assert [await dear.fee(f"batch/{batch}/open", []) for batch in (1, 2, 3)] == [64_000, 32_000, 20_000]

    # Batch 2 lands at half, one page of it only at twice that, and its seal and batch 3 begin there.
    root, operator = bytes(32), world.operator
    built: list[int] = []

    async def opening(fee: int) -> SignedTransaction:
        built.append(fee)
        return await world.escrow.build_open_batch(operator, 1, root, 1, price=fee)

    async def opened() -> bool:
        return bool((await world.escrow.view.escrow_state()).open_batch == 1)

    await lander.land("batch/2/open", opening, opened)
    assert built == [32_000]
    assert offered((await ledger.landed_last()).raw) == 32_000
    await keep(ledger, "batch/2/page/0", 32_000, EXPIRED)
    assert await lander.fee("batch/2/page/0", await ledger.submissions("batch/2/page/0")) == 64_000
    await keep(ledger, "batch/2/page/0", 64_000, LANDED)
    assert [await lander.fee(name, []) for name in ("batch/2/seal", "batch/3/open")] == [64_000, 32_000]
    # Bytes signed cheaply before others paid more are followed by what the others paid.
    await keep(ledger, "batch/2/page/1", 2_000, EXPIRED)
    assert await lander.fee("batch/2/page/1", await ledger.submissions("batch/2/page/1")) == 64_000


def test_no_offer_is_below_the_least_or_beyond_the_most() -> None:
    assert [first_offer(0, 1_999, batches) for batches in (0, 1)] == [1_999, 0]
    assert [first_offer(500, 1_000_000, batches) for batches in (0, 9, 10)] == [1_000_000, 1_953, 500]
    assert first_offer(0, 3_000_000, 0) == 1_000_000
    assert first_offer(2_000_000, 3_000_000, 0) == 2_000_000
    assert next_offer(2_000_000, 2_000_000, 2_000_000) == 2_000_000
    assert next_offer(0, 1_000_000, 700_000) == 1_000_000
