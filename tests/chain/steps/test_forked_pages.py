"""A batch of a page that pays and one that is paid, on a chain that takes another fork between the two."""

from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.settlement import PageOf, SealOf
from chain.rpc import FINALIZED

FINALITY = 250
"""Slots, five seconds: no test is so slow that what it rolls back is final."""
DEPOSIT, DELTA = 5_000, 1_000
"""Of `steps`."""


@pytest.fixture
def finality() -> int:
    return FINALITY


@pytest.fixture
async def moves(world: Any, owner: Any) -> list[tuple[int, int, int, int]]:
    """Account 16 on page 0 pays account 17 on page 1."""
    await world.land(world.escrow.build_create_page(world.operator, 1), FINALIZED)
    await world.agent(17, 0, page=1)
    place = await world.escrow.view.slot_of(17)
    return [(16, 0, 2, -DELTA), (17, 1, place.slot.index, DELTA)]


def slot_now(world: Any) -> int:
    """A slot that is over."""
    slot = now = int(world.node.call("getSlot", {"commitment": "processed"}))
    while now == slot:
        now = int(world.node.call("getSlot", {"commitment": "processed"}))
    return slot


@pytest.mark.parametrize("opening", [False, True], ids=["the page", "the opening and the page"])
async def test_debits_that_were_rolled_back_are_settled_again_before_what_they_pay_for(
    world: Any, steps: Any, opening: bool
) -> None:
    run, before = ActivityEnvironment().run, slot_now(world)
    assert await run(steps.open_batch, 1) == 1
    if not opening:
        before = slot_now(world)
    await run(steps.settle_page, PageOf(1, 1, 0))
    world.node.call("perpdexRollBack", before)
    assert (await world.escrow.view.page(0)).last_batch == 0
    await run(steps.settle_page, PageOf(1, 1, 1))
    await run(steps.seal_batch, SealOf(1, 1))
    snapshot = await world.escrow.view.snapshot(FINALIZED)
    assert (snapshot.state.sealed_batch, snapshot.state.clearing) == (1, 0)
    balances = {slot.account: slot.balance for page in snapshot.pages for slot in page.slots}
    assert (balances[16], balances[17]) == (DEPOSIT - DELTA, DELTA)
    assert snapshot.vault == snapshot.promised == DEPOSIT
