"""Funding in the client: the agent's own books follow it, and its history and prediction are typed calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from solders.keypair import Keypair

from core.funding import HOUR
from core.funding_hour import hour_of
from matcher import commands as c
from perpdex_sdk import Agent
from perpdex_sdk import messages as m


class Clock:
    """The wall's, ahead by as much as a test needs."""

    ahead = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead


@pytest.fixture
def clock() -> Clock:
    """In the middle of an hour, so that none ends by itself."""
    clock = Clock()
    clock.ahead = hour_of(clock()) * HOUR + HOUR // 2 - clock()
    return clock


@pytest.fixture
async def exchange(new_exchange: Any, clock: Clock) -> Any:
    return await new_exchange(clock=clock)


async def funded(exchange: Any, name: str) -> Agent:
    agent = await Agent.connect(exchange.server.http_url, Keypair(), name)
    await exchange.engine.ask(c.BindSlot(agent.account, 0, agent.account - 14))
    await exchange.engine.ask(c.CreditDeposit(agent.account, 10**12, f"deposit-{agent.account}"))
    return agent


@pytest.fixture
async def agents(exchange: Any) -> AsyncIterator[tuple[Agent, Agent]]:
    """A maker, and a trader that has bought half a bitcoin from it."""
    maker, trader = await funded(exchange, "maker"), await funded(exchange, "trader")
    await maker.quotes("BTC-PERP", [("59990.0", "50")], [("60010.0", "50")], 60_000)
    await trader.request("BTC-PERP", "buy", "0.5", "60010.0")
    yield maker, trader
    for agent in (maker, trader):
        await agent.close()


async def test_the_books_follow_an_hour_s_funding(exchange: Any, clock: Clock, agents: Any) -> None:
    engine, (maker, trader) = exchange.engine, agents
    paid = asyncio.Event()
    trader.on(m.Funding, lambda _: paid.set())
    assert (await trader.rest.predicted_funding("BTC-PERP")).market == "BTC-PERP"
    clock.ahead += 60 * 10**9
    exchange.index(1, 600_000)
    while 0 < engine.state.next_deadline() <= clock():
        engine.submit(c.Advance(), None)
    hour = hour_of(engine.last_at)
    clock.ahead += hour * HOUR - clock()
    exchange.index(1, 600_000)
    before = trader.balance
    await engine.ask(c.SettleFunding(1, hour))
    await asyncio.wait_for(paid.wait(), 20)
    (hours,) = await trader.rest.funding_history("BTC-PERP")
    (payment,) = await trader.rest.funding_payments()
    assert hours.hour == payment.hour == hour * HOUR // 1_000
    assert (hours.basis, Decimal(payment.amount)) == ("skew", trader.balance - before)
    assert trader.balance < before
    assert await trader.rest.funding_history("BTC-PERP", before=hours.hour) == []
    assert await trader.rest.funding_payments(before=payment.seq) == []
    for agent in (maker, trader):
        snapshot = await agent.snapshot()
        assert (snapshot.head, snapshot.hash) == (agent.head, agent._stream.books.hash())
