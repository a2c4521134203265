"""An agent's own books when they go wrong: markets that were listed later, and whatever the exchange's hash finds."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from solders.keypair import Keypair

from core.market import Market, market
from matcher import commands as c
from perpdex_sdk import Agent, Closed, own_stream
from perpdex_sdk import messages as m

CAPS = {"position_cap": "500", "open_interest_cap": "5000"}
NEWLY_LISTED = market(77, "NEW-PERP", "0.1", "0.001", max_leverage=10, feed="NEW", **CAPS)
LISTED_AGAIN = market(77, "NEW-PERP", "1", "0.00001", max_leverage=10, feed="NEW", **CAPS)


async def connected(exchange: Any, name: str) -> Agent:
    agent = await Agent.connect(exchange.server.http_url, Keypair(), name)
    credited = asyncio.Event()
    agent.on(m.Deposit, lambda _: credited.set())
    await exchange.engine.ask(c.BindSlot(agent.account, 0, agent.account - 14))
    await exchange.engine.ask(c.CreditDeposit(agent.account, 10**12, f"deposit-{agent.account}"))
    await credited.wait()
    return agent


@pytest.fixture
async def trader(exchange: Any) -> AsyncIterator[Agent]:
    agent = await connected(exchange, "trader")
    yield agent
    await agent.close()


def heartbeat(exchange: Any, agent: Agent) -> None:
    frame = exchange.server.edge.hub.heartbeat(agent.account, 0)
    agent._receive(bytes(frame[frame.index(b"{") :]))


async def assert_books_agree(agent: Agent) -> None:
    snapshot = await agent.snapshot()
    assert (snapshot.head, snapshot.hash) == (agent.head, agent._stream.books.hash())


@pytest.mark.parametrize(
    ("before", "listed", "ask", "size"),
    [((), NEWLY_LISTED, "60.0", "1.501"), ((NEWLY_LISTED,), LISTED_AGAIN, "600", "1.50001")],
    ids=["new", "again, with another lot"],
)
async def test_books_follow_a_market_that_was_listed_after_they_were_read(
    exchange: Any, before: tuple[Market, ...], listed: Market, ask: str, size: str
) -> None:
    heard: list[m.Message] = []
    for one in before:
        await exchange.engine.ask(c.ListMarket(one))
    trader, maker = await connected(exchange, "trader"), await connected(exchange, "maker")
    assert [trader.markets[one.symbol].lot for one in before] == [one.lot for one in before]
    for kind in (m.Fill, m.RequestClosed):
        trader.on(kind, heard.append)
    await exchange.engine.ask(c.ListMarket(listed))
    exchange.index(listed.id, 600)
    await maker.quotes(listed.symbol, [], [(ask, "100")], 60_000)
    for part in (size, "0.5"):
        assert (await trader.request(listed.symbol, "buy", part, ask)).outcome == "filled"
    bought = Decimal(size) + Decimal("0.5")
    assert (trader.position(listed.symbol), maker.position(listed.symbol)) == (bought, -bought)
    assert trader.markets[listed.symbol].lot == listed.lot
    assert [type(one) for one in heard] == [m.Fill, m.RequestClosed] * 2
    assert (trader._link.breaks, maker._link.breaks, trader.mismatches) == (0, 0, 0)
    for agent in (trader, maker):
        await assert_books_agree(agent)
        await agent.close()


async def test_books_that_differ_are_read_again_and_no_event_is_lost_or_counted_twice(
    exchange: Any, trader: Agent
) -> None:
    heartbeat(exchange, trader)
    assert trader.mismatches == 0
    paid: asyncio.Queue[m.Deposit] = asyncio.Queue()
    trader.on(m.Deposit, paid.put_nowait)
    trader._stream.books.balance += 1
    heartbeat(exchange, trader)
    assert trader.mismatches == 1
    for number in range(3):
        await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000, f"more-{number}"))
    assert [(await paid.get()).key for _ in range(3)] == ["more-0", "more-1", "more-2"]
    assert trader.balance == 1_000_003
    await assert_books_agree(trader)
    assert trader._link.breaks == 0


async def test_books_that_cannot_be_read_now_are_before_the_next_connection(
    exchange: Any, trader: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_stream, "PATIENCE", 0.0)
    paid = asyncio.Event()
    trader.on(m.Deposit, lambda _: paid.set())
    trader._stream.books.balance += 1
    heartbeat(exchange, trader)
    await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000, "more"))
    await asyncio.wait_for(paid.wait(), 10)
    assert (trader.balance, trader._link.breaks) == (1_000_001, 1)
    await assert_books_agree(trader)


async def test_a_reading_that_ends_with_what_nobody_expected_ends_the_agent_and_says_so(
    exchange: Any, trader: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = trader.ask("BTC-PERP", "buy", "0.01", "60000")
    trader._stream.books.balance += 1
    heartbeat(exchange, trader)
    # They wait while the books are read again. Those that the reading has counted are skipped, and nobody can take in the next one.
    for number in range(trader.head + 1, trader.head + 5):
        event = {"ev": "deposit", "n": number, "seq": number, "at": 1, "amount": "a lot", "key": "k"}
        trader._receive(json.dumps(event).encode())
    with pytest.raises(Closed, match="nobody expected"):
        await asyncio.wait_for(waiting.closed, 20)
    with pytest.raises(Closed, match="nobody expected"):
        trader.ask("BTC-PERP", "buy", "0.01", "60000")
    assert "the connection is given up" in caplog.text
    async with asyncio.timeout(20):
        while exchange.server.edge.hub.connection_count():
            await asyncio.sleep(0.01)
