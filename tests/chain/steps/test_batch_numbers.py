"""Somebody with the operator's key uses the number that our batch had on chain: his batch is not taken for ours."""

from typing import Any

import pytest
from solders.keypair import Keypair
from solders.message import Message
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.settlement import PageOf, SealOf
from chain.deltas import decode_deltas, encode_deltas
from chain.layout import ROOTS_KEPT
from chain.rpc import FINALIZED
from chain.transactions import SignedTransaction, UnsignedTransaction, signed

HIS = bytes(range(32))
PER_TRANSACTION = 6


async def his_batches(
    world: Any, first: int, count: int, root: bytes = HIS, page: int = 0, steps: int = 3
) -> SignedTransaction:
    """A transaction of whole batches, or of their first `steps` alone. Each takes a micro-USDC of account 16 to the treasury, or in
    page 1 from the first slot there."""
    building, operator = world.escrow._building, world.operator
    on_escrow = building.on_escrow("operator", operator)
    on_page = building.on_page(page, "operator", operator)
    deltas = [(0, -1)] if page else [(0, 1), (2, -1)]
    instructions = [
        building.instruction(name, accounts, (number, *more))
        for number in range(first, first + count)
        for name, accounts, more in (
            ("open_batch", on_escrow, (list(root), 1)),
            ("settle_page", on_page, (encode_deltas(deltas),)),
            ("seal_batch", on_escrow, ()),
        )[:steps]
    ]
    recent = await building.blockhash()
    message = Message.new_with_blockhash(instructions, operator.pubkey, recent.value)
    return await signed(UnsignedTransaction(bytes(message), recent.last_valid_block_height), [operator])


@pytest.mark.parametrize("step", ["settle_page", "seal_batch"])
async def test_a_batch_that_others_made_under_our_number_is_not_taken_for_ours(
    world: Any, steps: Any, step: str
) -> None:
    run = ActivityEnvironment().run
    assert await run(steps.open_batch, 1) == 1
    await world.land(world.escrow.build_abort_batch(world.operator, 1))
    await world.land(his_batches(world, 1, 1), FINALIZED)

    doing = {
        "settle_page": (steps.settle_page, PageOf(1, 1, 0)),
        "seal_batch": (steps.seal_batch, SealOf(1, 1)),
    }
    with pytest.raises(ApplicationError, match="somebody else made it") as refused:
        await run(*doing[step])
    assert refused.value.type == "other_batch_taken"
    assert not (await world.escrow.view.escrow_state()).open_batch

    # Begun anew, as its workflow is, the batch takes the next number and lands whole.
    assert await run(steps.open_batch, 1) == 2
    await run(steps.settle_page, PageOf(1, 2, 0))
    await run(steps.seal_batch, SealOf(1, 2))
    snapshot = await world.escrow.view.snapshot(FINALIZED)
    assert [slot.balance for slot in snapshot.pages[0].slots] == [1_001, 0, 3_999]


async def test_a_batch_whose_root_the_chain_keeps_no_more_is_not_settled_again(
    world: Any, steps: Any, ledger: Any
) -> None:
    run = ActivityEnvironment().run
    assert await run(steps.open_batch, 1) == 1
    await run(steps.settle_page, PageOf(1, 1, 0))
    await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
    last = ROOTS_KEPT + 1
    for first in range(2, last + 1, PER_TRANSACTION):
        await world.land(his_batches(world, first, min(PER_TRANSACTION, last + 1 - first)))
    for step, of, code in (
        (steps.open_batch, 1, "batch_forgotten"),
        (steps.seal_batch, SealOf(1, 1), "other_batch_taken"),
    ):
        with pytest.raises(ApplicationError) as refused:
            await run(step, of)
        assert refused.value.type == code
    # Nor under a number that somebody opens with its root.
    root = (await ledger.load_batch(1)).root
    await world.land(his_batches(world, last + 1, 1, root, steps=1), FINALIZED)
    with pytest.raises(ApplicationError) as refused:
        await run(steps.open_batch, 1)
    assert refused.value.type == "batch_forgotten"
    snapshot = await world.escrow.view.snapshot()
    assert [slot.balance for slot in snapshot.pages[0].slots] == [1_000 + ROOTS_KEPT, 0, 4_000 - ROOTS_KEPT]


@pytest.mark.parametrize("page", [0, 1])
async def test_a_batch_with_our_root_and_other_deltas_is_not_ours(
    world: Any, steps: Any, ledger: Any, page: int
) -> None:
    """The root is public before our batch lands. In page 1 he has an account of his own, which loses nothing."""
    run = ActivityEnvironment().run
    if page:
        await world.land(world.escrow.build_create_page(world.operator, 1))
        await world.land(world.escrow.build_open_account(world.operator, 1, Keypair().pubkey(), 99))
    root = (await ledger.load_batch(1)).root
    await world.land(his_batches(world, 1, 1, root, page), FINALIZED)

    for step, of in ((steps.settle_page, PageOf(1, 1, 0)), (steps.seal_batch, SealOf(1, 1))):
        with pytest.raises(ApplicationError) as refused:
            await run(step, of)
        assert refused.value.type == "other_batch_taken"
    await finish(run, steps, 2)
    # A copy that was made afterwards, whole or just opened, is not taken for ours either.
    await world.land(his_batches(world, 3, 1, root))
    await world.land(his_batches(world, 4, 1, root, steps=1), FINALIZED)
    assert await run(steps.open_batch, 1) == 2
    held = [slot.balance for slot in (await world.escrow.view.page(0)).slots]
    assert held == ([1_001, 0, 3_999] if page else [1_002, 0, 3_998])


async def test_a_page_that_others_settled_in_our_open_batch_is_not_ours(world: Any, steps: Any) -> None:
    run = ActivityEnvironment().run
    assert await run(steps.open_batch, 1) == 1
    await world.land(world.escrow.build_settle_page(world.operator, 1, 0, [(0, 1), (2, -1)]))
    with pytest.raises(ApplicationError) as refused:
        await run(steps.settle_page, PageOf(1, 1, 0))
    assert refused.value.type == "other_batch_taken"
    with pytest.raises(ApplicationError) as open_still:
        await run(steps.open_batch, 1)
    assert open_still.value.type == "other_batch_open"
    await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
    await finish(run, steps, 2)
    assert [slot.balance for slot in (await world.escrow.view.page(0)).slots] == [1_001, 0, 3_999]


async def test_a_ledger_that_lost_what_it_signed_knows_its_batch_by_the_deltas(
    world: Any, steps: Any, ledger: Any
) -> None:
    stored = await ledger.load_batch(1)
    await world.land(world.escrow.build_open_batch(world.operator, 1, stored.root, 1))
    deltas = decode_deltas(stored.pages[0].deltas)
    await world.land(world.escrow.build_settle_page(world.operator, 1, 0, deltas))
    await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
    await finish(ActivityEnvironment().run, steps, 1)
    assert (await world.escrow.view.escrow_state()).sealed_batch == 1


async def finish(run: Any, steps: Any, number: int) -> None:
    assert await run(steps.open_batch, 1) == number
    await run(steps.settle_page, PageOf(1, number, 0))
    await run(steps.seal_batch, SealOf(1, number))
