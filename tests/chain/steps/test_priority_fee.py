"""What the owner is given to sign pays more after each transaction that came too late."""

import base64
from typing import Any

import pytest
from solders.compute_budget import ID as BUDGET_PROGRAM
from solders.message import Message
from temporalio.testing import ActivityEnvironment

from activities.landing import Lander
from activities.withdrawals import Payment
from ledger.settlement import EXPIRED, FAILED

SET_PRICE = 3
"""First byte of the instruction that sets the price of a compute unit; the price follows."""


def price(message: str) -> int:
    parsed = Message.from_bytes(base64.b64decode(message))
    prices = [
        int.from_bytes(one.data[1:9], "little")
        for one in parsed.instructions
        if parsed.account_keys[one.program_id_index] == BUDGET_PROGRAM and one.data[0] == SET_PRICE
    ]
    return sum(prices)


@pytest.mark.parametrize(
    ("tried", "expected"),
    [((), 0), ((FAILED,), 0), ((EXPIRED,), 1_000), ((EXPIRED,) * 3, 4_000), ((EXPIRED,) * 40, 1_000_000)],
)
async def test_the_fee_grows_with_each_message_that_expired(
    world: Any, ledger: Any, withdrawals: Any, tried: tuple[str, ...], expected: int
) -> None:
    owner = await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 50_000_000))
    for number, status in enumerate(tried):
        await ledger.add_submission(f"signature{number}", "withdrawal/7", b"bytes", 9, number)
        await ledger.close_submission(f"signature{number}", status)
    await ledger.add_submission("another one's", "withdrawal/70", b"bytes", 9, 0)
    await ledger.close_submission("another one's", EXPIRED)
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
    for number, fee in enumerate([first, *then]):
        assert lander.fee(await ledger.submissions("batch/1/seal")) == fee
        await ledger.add_submission(f"signature{number}", "batch/1/seal", b"bytes", 9, number)
        await ledger.close_submission(f"signature{number}", EXPIRED)
