"""Sub-accounts in the client: an agent of their own, whose books follow transfers and fills."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from solders.keypair import Keypair

from matcher import commands as c
from perpdex_sdk import Agent, DepositFailed, Refused
from perpdex_sdk import messages as m


@pytest.fixture
async def family(exchange: Any) -> AsyncIterator[tuple[Agent, Agent]]:
    """A funded agent and its sub-account for BTC, next to a maker."""
    await exchange.maker()
    parent = await Agent.connect(exchange.server.http_url, Keypair(), "desk")
    await exchange.engine.ask(c.BindSlot(parent.account, 0, parent.account - 14))
    await exchange.engine.ask(c.CreditDeposit(parent.account, 10**10, "deposit"))
    sub = await parent.sub_account("BTC-PERP")
    yield parent, sub
    await sub.close()
    await parent.close()


async def heard(agent: Agent, head: int) -> None:
    """Return once the agent has taken in its stream up to `head`."""
    async with asyncio.timeout(10):
        while agent.head < head:
            await asyncio.sleep(0.01)


async def test_books_of_both_follow_transfers_and_fills(family: tuple[Agent, Agent]) -> None:
    parent, sub = family
    moved = await parent.transfer(parent.account, sub.account, Decimal("1000.5"), key="stake")
    again = await parent.transfer(parent.account, sub.account, "1000.5", key="stake")
    assert (moved.repeated, again.repeated, again.giver, again.receiver) == (
        False,
        True,
        parent.account,
        sub.account,
    )
    await sub.request("BTC-PERP", "buy", "0.05", "60010")
    await parent.transfer(sub.account, parent.account, "0.5")
    for agent in family:
        snapshot = await agent.snapshot()
        await heard(agent, snapshot.head)
        assert (agent.account, agent.balance) == (snapshot.account, Decimal(snapshot.balance))
    assert (sub.position("BTC-PERP"), parent.position("BTC-PERP")) == (Decimal("0.05"), Decimal(0))
    assert parent.balance == Decimal(9000)
    (shown,) = (await parent.snapshot()).subaccounts
    assert (shown.account, shown.market, shown.size) == (sub.account, "BTC-PERP", "0.0500")
    assert (await sub.snapshot()).parent == parent.account


async def test_the_same_market_gives_the_same_sub_account(family: tuple[Agent, Agent]) -> None:
    parent, sub = family
    again = await parent.rest.open_sub_account("BTC-PERP")
    assert (again.account, again.repeated) == (sub.account, True)
    with pytest.raises(Refused, match="sub-account only trades"):
        await sub.rest.open_sub_account("BTC-PERP")
    with pytest.raises(DepositFailed, match="deposit with its parent"):
        await sub.deposit("1")


async def test_a_sub_accounts_connection_comes_back_to_it(exchange: Any, family: tuple[Agent, Agent]) -> None:
    parent, sub = family
    heads: list[int] = []
    sub.on(m.Ready, lambda ready: heads.append(ready.account))
    sub._link.drop()
    await parent.transfer(parent.account, sub.account, "7")
    await heard(sub, 2)
    assert heads == [sub.account]
    assert sub.balance == Decimal(7)
