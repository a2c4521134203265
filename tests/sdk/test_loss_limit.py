"""An agent that bounds its losses as it connects, on a real chain."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from solders.keypair import Keypair

from api.collaborators import EscrowInfo
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from matcher import commands as c
from perpdex_sdk import Agent, ExitFailed


@pytest.fixture
def escrow_limits() -> Limits:
    return replace(DEFAULT_LIMITS, limit_delay=3_600)


class Bounded:
    """An owner whose agent has a slot."""

    def __init__(self, exchange: Any, view: Any, key: Keypair, account: int) -> None:
        self.url = exchange.server.http_url
        self.key = key
        self._view = view
        self._account = account

    async def connect(self, **options: Any) -> Any:
        """Connect and leave; the slot then."""
        agent = await Agent.connect(self.url, self.key, "bounded", **options)
        assert agent.account == self._account
        await agent.close()
        return (await self._view.slot_of(self._account, FINALIZED)).slot


@pytest.fixture
async def bounded(new_exchange: Any, escrow: Any) -> Any:
    client, operator, url = escrow
    at = client.addresses
    where = EscrowInfo(str(PROGRAM_ID), str(at.escrow), str(at.vault), str(client.mint), url)
    exchange, key = await new_exchange(escrow=where), Keypair()
    agent = await Agent.connect(exchange.server.http_url, key, "bounded")
    built = await client.build_open_account(operator, 0, key.pubkey(), agent.account)
    assert isinstance(await send_until(client.client, built, FINALIZED, poll_s=0.01), Landed)
    await exchange.engine.ask(c.BindSlot(agent.account, 0, 2))
    await agent.close()
    return Bounded(exchange, client.view, key, agent.account)


async def give_sol(bounded: Bounded, url: str) -> None:
    """What the owner pays the transaction with."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "requestAirdrop",
        "params": [str(bounded.key.pubkey()), 10**12],
    }
    async with httpx.AsyncClient() as http:
        assert "error" not in (await http.post(url, json=call)).json()


async def test_whoever_connects_with_a_limit_has_it_on_chain_and_keeps_it(
    bounded: Bounded, escrow: Any
) -> None:
    await give_sol(bounded, escrow[2])
    assert (await bounded.connect()).lowest_limit is None
    slot = await bounded.connect(loss_limit=7)
    assert (slot.loss_limit, slot.next_limit) == (None, 7_000_000)
    # The same again begins no new delay, and without one what stands is left alone.
    assert await bounded.connect(loss_limit=7) == slot
    assert await bounded.connect() == slot
    assert (await bounded.connect(loss_limit=3)).next_limit == 3_000_000


async def test_who_can_not_be_bounded_is_not_connected(bounded: Bounded) -> None:
    # Nobody gave it any SOL: rather no agent than one that may lose everything.
    with pytest.raises(ExitFailed):
        await bounded.connect(loss_limit=7)
    assert (await bounded.connect()).lowest_limit is None
