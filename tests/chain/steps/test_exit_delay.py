"""The engine hears the escrow's exit delay from the chain, once."""

from typing import Any

import msgspec
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor, EngineState
from activities.exits import ExitActivities
from chain.limits import DEFAULT_LIMITS

UNTOLD = EngineState(
    **{"seq": 1, "balances_total": 0, "deposits": 0, "withdrawals": 0, "reserved": 0, "vault_expected": 0},
    **{"claimed": 0, "exits": 0, "loss_limits": 0, "astray": 0, "exit_delay": 0},
    conserved=True,
    positions_zero_sum=True,
    settlement_held="",
)


async def test_an_exit_delay_that_the_engine_does_not_know_is_told(
    world: Any, ledger: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    watch, run = ExitActivities(door, world.escrow, ledger).watch_exits, ActivityEnvironment().run
    exit_delay, limit_delay = DEFAULT_LIMITS.exit_delay, DEFAULT_LIMITS.limit_delay
    told = {"type": "SeeExitDelay", "seconds": exit_delay, "limit_delay": limit_delay}
    for known, commands in (
        ((0, 0), [told]),
        ((exit_delay, 0), [told]),
        ((exit_delay, limit_delay), []),
    ):
        door_server.commands.clear()
        answer = msgspec.structs.replace(UNTOLD, exit_delay=known[0], limit_delay=known[1])
        door_server.answers["/api/v1/operator/state"] = msgspec.to_builtins(answer)
        await run(watch, 0.0)
        assert door_server.commands == commands
    await door.close()
