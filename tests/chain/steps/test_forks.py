"""The chain takes another fork: what was confirmed did not happen, and is done again; nothing was believed before it was final."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import EngineDoor, Unbound
from activities.landing import Lander
from activities.settlement import PageOf, SealOf
from activities.slots import SlotActivities
from chain.events import BatchCarried, parse_events
from chain.rpc import FINALIZED
from owner_transactions import OwnerTransactions

FINALITY = 250
"""Slots, five seconds: no test is so slow that what it rolls back is final."""
DEPOSIT, DELTA = 5_000, 1_000
"""Of `steps`."""


@pytest.fixture
def finality() -> int:
    return FINALITY


def slot_now(world: Any) -> int:
    """A slot that is over: what lands from now on is in a later one."""
    slot = now = int(world.node.call("getSlot", {"commitment": "processed"}))
    while now == slot:
        now = int(world.node.call("getSlot", {"commitment": "processed"}))
    return slot


async def sealed(world: Any, steps: Any) -> None:
    await ActivityEnvironment().run(steps.seal_batch, SealOf(1, 1))
    snapshot = await world.escrow.view.snapshot(FINALIZED)
    assert (snapshot.state.sealed_batch, snapshot.state.clearing) == (1, 0)
    assert [slot.balance for slot in snapshot.pages[0].slots] == [DELTA, 0, DEPOSIT - DELTA]
    assert snapshot.vault == snapshot.promised == DEPOSIT


async def test_a_page_that_was_confirmed_and_rolled_back_is_settled_again(world: Any, steps: Any) -> None:
    run = ActivityEnvironment().run
    assert await run(steps.open_batch, 1) == 1
    before = slot_now(world)
    await run(steps.settle_page, PageOf(1, 1, 0))
    world.node.call("perpdexRollBack", before)
    assert (await world.escrow.view.page(0)).last_batch == 0
    await sealed(world, steps)


async def test_a_batch_whose_opening_was_rolled_back_is_opened_again(world: Any, steps: Any) -> None:
    run, before = ActivityEnvironment().run, slot_now(world)
    assert await run(steps.open_batch, 1) == 1
    world.node.call("perpdexRollBack", before)
    assert (await world.escrow.view.escrow_state()).open_batch == 0
    await run(steps.settle_page, PageOf(1, 1, 0))
    await sealed(world, steps)


async def test_a_deposit_that_was_rolled_back_was_never_credited(
    world: Any, owner: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    door_server.accounts = [[16, str(owner.pubkey), 0, 2, 0, 0, 0, 0]]
    world.node.call("perpdexMintTestUsdc", str(owner.pubkey), 70)
    before = slot_now(world)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 70))
    watch = DepositActivities(door, world.escrow).watch_deposits
    cursor = await ActivityEnvironment().run(watch, DepositCursor(), 0.0)
    world.node.call("perpdexRollBack", before)
    cursor = await ActivityEnvironment().run(watch, cursor, 0.0)
    await door.close()
    credited = [one["amount"] for one in door_server.credited.values()]
    assert credited == [DEPOSIT]
    assert (cursor.found, cursor.gaps) == (1, 0)


async def test_an_exit_request_that_was_rolled_back_is_in_no_final_page(world: Any, owner: Any) -> None:
    before = slot_now(world)
    await world.land(OwnerTransactions(world.escrow).build_request_withdrawal(owner, 0, 2, 9))
    assert (await world.escrow.view.slot_of(16)).slot.pending == 9
    assert (await world.escrow.view.slot_of(16, FINALIZED)).slot.pending == 0
    world.node.call("perpdexRollBack", before)
    assert (await world.escrow.view.slot_of(16)).slot.pending == 0


async def test_a_slot_is_bound_once_it_is_final(world: Any, owner: Any, steps: Any, door_server: Any) -> None:
    newcomer, door = Unbound(17, str(owner.pubkey)), EngineDoor(door_server.url, "token")
    slots = SlotActivities(door, world.escrow, Lander(steps._ledger, world.escrow), world.operator, 0)
    world.node.call("perpdexMintTestUsdc", str(owner.pubkey), 1)
    while not sum(await world.escrow.view.tokens([world.escrow.wallet_of(owner.pubkey)])):
        await asyncio.sleep(0.01)
    before = slot_now(world)
    assert await slots._place([newcomer]) == 0
    assert await world.escrow.view.slot_of(17) is not None
    world.node.call("perpdexRollBack", before)
    assert await world.escrow.view.slot_of(17) is None
    assert door_server.commands == []
    while not await slots._place([newcomer]):
        pass
    await door.close()
    assert [(one["account"], one["page"], one["slot"]) for one in door_server.commands] == [(17, 0, 3)]
    assert (await world.escrow.view.slot_of(17, FINALIZED)).slot.index == 3


async def test_what_is_final_is_not_rolled_back(world: Any, owner: Any) -> None:
    assert "not final" in world.node.error("perpdexRollBack", slot_now(world) - FINALITY - 5)["message"]
    assert "not final" in world.node.error("perpdexRollBack", slot_now(world) + 5)["message"]


async def test_a_batch_after_left_overs_of_a_thief_carries_them_on_and_is_final(
    world: Any, steps: Any
) -> None:
    """The thief opened batch 1, took 7 of account 16 and gave nobody: batch 1 of the ledger is the chain's second one."""
    run, build, burnt = ActivityEnvironment().run, world.escrow, 7
    await world.land(build.build_open_batch(world.operator, 1, bytes(range(32)), 1))
    await world.land(build.build_settle_page(world.operator, 1, 0, [(2, -burnt)]))
    await world.land(build.build_carry_batch(world.operator, 1))
    assert await run(steps.open_batch, 1) == 2
    await run(steps.settle_page, PageOf(1, 2, 0))
    await run(steps.seal_batch, SealOf(1, 2))
    snapshot = await world.escrow.view.snapshot(FINALIZED)
    assert (snapshot.state.sealed_batch, snapshot.state.clearing) == (2, burnt)
    assert [slot.balance for slot in snapshot.pages[0].slots] == [DELTA, 0, DEPOSIT - DELTA - burnt]
    receipt = await run(steps.batch_receipt, 1)
    carried = await world.escrow.view.receipt(receipt.seal_signature, FINALIZED)
    assert any(isinstance(one, BatchCarried) for one in parse_events(carried.logs, world.escrow.addresses))
