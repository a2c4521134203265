"""What comes in is read off the chain once, whatever the node does meanwhile."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import EngineDoor
from chain.rpc import ChainUnavailable
from fault_proxy import FaultProxy

AMOUNT = 5_000_000


class Reader:
    """A watch of deposits that reaches the chain through a proxy; one deposit is final."""

    def __init__(self, world: Any, proxy: FaultProxy, door_server: Any) -> None:
        self.world, self.proxy, self.told = world, proxy, door_server.commands
        self.client, self.door = AsyncClient(proxy.url, timeout=0.5), EngineDoor(door_server.url, "token")
        self.steps = DepositActivities(self.door, world.through(self.client))
        self.cursor = DepositCursor()

    async def look(self) -> None:
        """One round."""
        self.cursor = await ActivityEnvironment().run(self.steps.watch_deposits, self.cursor, 0.0)

    def credited(self) -> list[int]:
        return [one["amount"] for command in self.told for one in command["deposits"]]


@pytest.fixture
async def reader(world: Any, door_server: Any) -> AsyncIterator[Reader]:
    owner = await world.agent(16, AMOUNT)
    door_server.accounts = [[16, str(owner.pubkey), 0, 2, 0, 0, 0, 0]]
    await world.land(world.escrow.build_deposit(owner, 0, 2, AMOUNT), "finalized")
    async with FaultProxy(world.node.url) as proxy:
        reader = Reader(world, proxy, door_server)
        yield reader
        await reader.client.close()
        await reader.door.close()


@pytest.mark.cell("watch_deposits: read", "chain pauses")
async def test_a_deposit_is_credited_once_the_chain_goes_on(reader: Reader) -> None:
    pid = reader.world.node.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ChainUnavailable):
            await reader.look()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert reader.credited() == []
    for _ in range(2):
        await reader.look()
    assert reader.credited() == [AMOUNT]
