"""The engine hears the escrow's exit delay from the chain, once; and that the pages were looked at is told when they were."""

import time
from typing import Any

import msgspec
from solders.pubkey import Pubkey
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor, EngineState
from activities.exits import ExitActivities
from chain.escrow import EscrowClient
from chain.limits import DEFAULT_LIMITS
from chain.localnet.genesis import PROGRAM_ID, USDC_MINT

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


async def test_a_node_that_shows_no_escrow_was_not_looked_at(
    world: Any, ledger: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    door_server.answers["/api/v1/operator/state"] = msgspec.to_builtins(UNTOLD)

    async def told(escrow: EscrowClient) -> dict[str, int]:
        buffer, environment = MetricBuffer(100), ActivityEnvironment()
        environment.metric_meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
        await environment.run(ExitActivities(door, escrow, ledger).watch_exits, 0.0)
        return {one.metric.name: one.value for one in buffer.retrieve_updates()}

    before = int(time.time())
    figures = await told(world.escrow)
    assert before <= figures["perpdex_exits_looked_seconds"] <= int(time.time())
    nowhere = EscrowClient(world.escrow.client, PROGRAM_ID, Pubkey.new_unique(), USDC_MINT)
    assert await told(nowhere) == {"perpdex_exits_requested": 0}
    await door.close()
