"""What the steps of a rotation see of a real chain and ledger, and what becomes of a withdrawal that was signed for the old key."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.rotation import ExecuteOf, RotationActivities
from activities.withdrawals import Payment, PaymentStatus, WithdrawalActivities
from chain.cluster import ClusterView
from chain.keys import KeypairSigner
from chain.layout import PAGE_BYTES
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED
from core import events as e
from core.batches import BatchStatus
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries

STATE = "/api/v1/operator/state"
SUMS = dict.fromkeys(
    (
        *("seq", "balances_total", "deposits", "withdrawals", "reserved"),
        *("vault_expected", "claimed", "exits", "loss_limits", "astray", "exit_delay"),
    ),
    0,
)
WHY = "the operator's key becomes another"


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, exit_delay=1, limit_delay=1, timelock=3)


@pytest.fixture
def at_door(door_server: Any) -> Any:
    def says(seq: int = 0, held: str = "") -> None:
        sound = {"conserved": True, "positions_zero_sum": True}
        door_server.answers[STATE] = {**SUMS, **sound, "seq": seq, "settlement_held": held}

    says()
    return says


@pytest.fixture
async def steps_of(world: Any, ledger: Any, door_server: Any, at_door: Any) -> AsyncIterator[Any]:
    """The steps of a worker that signs with a key."""
    door = EngineDoor(door_server.url, "token")

    def of(key: KeypairSigner) -> RotationActivities:
        return RotationActivities(door, ledger, world.escrow, Lander(ledger, world.escrow), key)

    yield of
    await door.close()


async def test_a_proposal_is_seen_executed_once_and_the_new_key_tried(world: Any, steps_of: Any) -> None:
    run, old, new = ActivityEnvironment().run, steps_of(world.operator), world.node.funded()
    key, governance = str(new.pubkey), world.escrow.governance
    now = (await world.escrow.view.escrow_state()).settings
    assert (await run(old.look_for_proposal, key)).number == 0
    more = replace(now, operator=new.pubkey, guardian=new.pubkey)
    await world.land(governance.build_propose(world.operator, more), FINALIZED)
    seen = await run(old.look_for_proposal, key)
    assert (seen.number, seen.also, seen.operator) == (1, ["guardian"], str(now.operator))
    assert (await run(old.look_for_proposal, str(now.operator))).number == 0
    with pytest.raises(ApplicationError) as early:
        await run(old.execute_proposal, ExecuteOf(key, 1))
    assert early.value.type == "escrow_ProposalNotReady"

    await world.land(governance.build_cancel_proposal(world.operator), FINALIZED)
    await world.land(governance.build_propose(world.operator, replace(now, operator=new.pubkey)), FINALIZED)
    assert not await run(old.execute_proposal, ExecuteOf(key, 1))
    while (seen := await run(old.look_for_proposal, key)).ready_in:
        await asyncio.sleep(0.05)
    assert (seen.number, seen.also) == (2, [])
    assert await run(old.execute_proposal, ExecuteOf(key, 2))
    assert (await run(old.look_for_proposal, key)).operator == key

    assert "the worker signs with" in (await run(old.check_key)).lacks()
    poor = KeypairSigner(Keypair())
    assert "the worker signs with" in (await run(steps_of(poor).check_key)).lacks()
    seen = await run(steps_of(new).check_key)
    page = await ClusterView(world.escrow.client).rent(PAGE_BYTES)
    assert (seen.lacks(), seen.lamports_needed) == ("", 2 * page + 10_000 * 5_000)


async def test_our_own_batch_is_waited_for_while_this_key_can_finish_it(
    world: Any, ledger: Any, steps_of: Any, at_door: Any, postgres_url: str
) -> None:
    run, steps = ActivityEnvironment().run, steps_of(world.operator)
    assert await run(steps.batch_under_way) == ""
    projector = Projector(postgres_url)
    projector.apply([(1, e.SettlementCut(2, 1, ((1, 600_000),)))])
    at_door(seq=1)
    waits = f"batch 1 is {BatchStatus.BATCHED.name.lower()}"
    assert await run(steps.batch_under_way) == waits
    assert await run(steps_of(world.node.funded()).batch_under_way) == ""

    # Who has stolen the key opens a batch, and ours waits behind it.
    await world.land(world.escrow.build_open_batch(world.operator, 1, bytes(32), 1), FINALIZED)
    assert await run(steps.batch_under_way) == ""
    await world.land(world.escrow.build_abort_batch(world.operator, 1), FINALIZED)
    assert await run(steps.batch_under_way) == waits
    stored = await ledger.store_batch(1, 2, 0, 1, [], [])
    await world.land(world.escrow.build_open_batch(world.operator, 1, stored.root, 1), FINALIZED)
    assert await run(steps.batch_under_way) == waits
    await world.land(world.escrow.governance.build_set_pause(world.operator, True), FINALIZED)
    assert await run(steps.batch_under_way) == ""
    await world.land(world.escrow.governance.build_set_pause(world.operator, False), FINALIZED)
    projector.apply([(2, e.BatchAdvanced(3, 1, BatchStatus.FINAL, ()))])
    projector.close()
    at_door(seq=2)
    assert await run(steps.batch_under_way) == ""


async def test_only_its_own_hold_is_ended(steps_of: Any, world: Any, at_door: Any, door_server: Any) -> None:
    run, steps = ActivityEnvironment().run, steps_of(world.operator)
    await run(steps.hold_for_rotation, WHY)
    at_door(held="slot 0/2 differs")
    assert await run(steps.release_after_rotation, WHY) == "slot 0/2 differs"
    assert [one["held"] for one in door_server.commands] == [True]
    at_door(held=WHY)
    assert await run(steps.release_after_rotation, WHY) == ""
    assert [(one["held"], one["why"]) for one in door_server.commands] == [(True, WHY), (False, WHY)]


async def test_a_withdrawal_that_was_signed_for_the_old_key_is_signed_again(
    world: Any, ledger: Any, withdrawals: WithdrawalActivities, door_server: Any, postgres_url: str
) -> None:
    run, owner = ActivityEnvironment().run, await world.agent(16, 100_000_000)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 50_000_000), FINALIZED)
    payment = Payment(16, str(owner.pubkey), 5_000_000, "", 7)
    message = await run(withdrawals.build_message, payment)
    signature = str(await owner.sign(base64.b64decode(message.message)))
    door, pool = EngineDoor(door_server.url, "token"), open_pool(postgres_url)
    escrow, new = world.escrow, KeypairSigner(Keypair())
    after = WithdrawalActivities(door, ledger, Queries(pool), escrow, Lander(ledger, escrow), new, 0)
    outcome = await run(after.pay, payment, message, signature)
    assert outcome.status == PaymentStatus.EXPIRED
    assert await ledger.submissions("withdrawal/7") == []
    await door.close()
    await pool.dispose()
