"""Settlement on the real network while answers get lost, blockhashes expire and processes die: every page lands exactly once."""

import asyncio
from typing import Any

import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
FILLS = 5


async def traded(network: Any) -> None:
    """Have the agents trade a little, then rest."""
    before = await network.fills()
    network.trade()
    async with asyncio.timeout(60):
        while await network.fills() < before + FILLS:
            await asyncio.sleep(0.1)
    network.rest()


async def test_agents_trade_and_everything_is_settled(network):
    await traded(network)
    await network.agree()
    assert await network.fills() >= FILLS
