"""An owner hears before signing that the escrow pays no such amount now: the program would refuse the transaction."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.withdrawals import Payment
from chain.limits import DEFAULT_LIMITS

FLOOR = DEFAULT_LIMITS.hour_floor


async def test_no_message_is_built_for_more_than_may_leave_in_the_hour(world: Any, withdrawals: Any) -> None:
    owner = await world.agent(16, 2 * FLOOR)
    await world.land(world.escrow.build_deposit(owner, 0, 2, 2 * FLOOR), "finalized")
    run, wanted = ActivityEnvironment().run, Payment(16, str(owner.pubkey), FLOOR + 1, "", 7)
    with pytest.raises(ApplicationError, match=f"may take {FLOOR} micro-USDC") as refused:
        await run(withdrawals.build_message, wanted)
    assert refused.value.type == "outflow_limited"
    assert (await run(withdrawals.build_message, replace(wanted, amount=FLOOR))).message
    # What others take counts: the limit is of the whole escrow.
    other = await world.agent(17, 10**6)
    await world.land(world.escrow.build_deposit(other, 0, 3, 10**6), "finalized")
    await world.land(world.escrow.build_withdraw(world.operator, other, 0, 3, 10**6, 3), "finalized")
    with pytest.raises(ApplicationError, match=f"may take {FLOOR - 10**6} micro-USDC"):
        await run(withdrawals.build_message, replace(wanted, amount=FLOOR))
