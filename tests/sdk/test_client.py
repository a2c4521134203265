"""The client against a running exchange: trading, breaks of the connection, restarts, and its own books."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from solders.keypair import Keypair

from matcher import commands as c
from perpdex_sdk import Agent, AnswerUnknown, Insecure, NotSent, Refused
from perpdex_sdk import messages as m
from perpdex_sdk.answers import Escrow
from perpdex_sdk.custody import Custody
from perpdex_sdk.rest import Rest, Session

Connect = Callable[..., Awaitable[Agent]]


@pytest.fixture
async def connect(exchange: Any) -> AsyncIterator[Connect]:
    """Connects funded agents; closes them at the end."""
    agents: list[Agent] = []

    async def connect(name: str, deposit: int = 1_000_000_000_000, **options: Any) -> Agent:
        agent = await Agent.connect(exchange.server.http_url, Keypair(), name, **options)
        agents.append(agent)
        if deposit:
            credited = asyncio.Event()
            agent.on(m.Deposit, lambda _: credited.set())
            await exchange.engine.ask(c.BindSlot(agent.account, 0, agent.account - 14))
            await exchange.engine.ask(c.CreditDeposit(agent.account, deposit, f"deposit-{agent.account}"))
            await credited.wait()
        return agent

    yield connect
    for agent in agents:
        await agent.close()


async def quoting(connect: Connect) -> Agent:
    maker = await connect("maker")
    await maker.quotes("BTC-PERP", [("59990.0", "50")], [(Decimal("60010.0"), Decimal(50))], 60_000)
    return maker


async def test_trade_and_books(exchange: Any, connect: Connect) -> None:
    maker, trader = await quoting(connect), await connect("trader")
    closed = await trader.request("BTC-PERP", "buy", "0.5", "60010.0")
    assert (closed.outcome, closed.fee) == ("filled", "15.002500")
    assert trader.balance == Decimal("999984.997500")
    assert trader.position("BTC-PERP") == Decimal("0.5")
    await trader.request("BTC-PERP", "sell", "0.5", "59990.0")
    assert trader.position("BTC-PERP") == 0
    snapshot = await trader.snapshot()
    assert Decimal(snapshot.balance) == trader.balance
    assert (snapshot.head, snapshot.hash) == (trader.head, trader._stream.books.hash())
    assert maker.position("BTC-PERP") == 0


async def test_books_follow_the_end_of_a_market(exchange: Any, connect: Connect) -> None:
    maker, trader = await quoting(connect), await connect("trader")
    await trader.request("BTC-PERP", "buy", "0.5", "60010.0")
    ends: list[m.MarketSettled] = []
    ended, told = asyncio.Event(), asyncio.Event()
    trader.on(m.MarketSettled, lambda event: (ends.append(event), ended.set()))
    maker.on(m.MarketChanged, lambda event: told.set() if event.status == "settled" else None)
    exchange.index(1, 610_000)
    await exchange.engine.ask(c.DelistMarket(1, force=True, who="ada", why="a test"))
    await asyncio.wait_for(asyncio.gather(ended.wait(), told.wait()), 10)
    assert [(end.size, end.realized, end.shared) for end in ends] == [("0.5000", "495.000000", "0.000000")]
    assert (trader.position("BTC-PERP"), trader.balance) == (0, Decimal("1000479.997500"))
    snapshot = await trader.snapshot()
    assert (snapshot.head, snapshot.hash) == (trader.head, trader._stream.books.hash())


async def test_answers_to_requests(connect: Connect) -> None:
    maker, trader = await connect("maker"), await connect("trader")
    await maker.subscribe(["BTC-PERP"])
    tasks = []

    def asked(rfq: m.Rfq) -> None:
        tasks.append(asyncio.create_task(maker.answer(rfq, bid="59990.0", ask="60005.0")))

    maker.on(m.Rfq, asked)
    closed = await trader.request("BTC-PERP", "buy", "0.5", "60010.0")
    assert (closed.outcome, closed.average_price) == ("filled", "60005.000000000")
    await asyncio.gather(*tasks)


async def test_choosing_among_quotes(connect: Connect) -> None:
    maker, trader = await connect("maker"), await connect("trader")
    await maker.subscribe(["BTC-PERP"])
    asked: asyncio.Queue[m.Rfq] = asyncio.Queue()
    maker.on(m.Rfq, asked.put_nowait)
    opened = trader.ask("BTC-PERP", "buy", "0.5", "60010.0", auto=False, ttl_ms=5000)
    await maker.answer(await asked.get(), ask="60001.0")
    async for quote in opened.quotes():
        assert quote.price == "60001.0"
        await opened.accept(quote)
    assert (await trader.answer_to(opened)).outcome == "filled"


async def test_a_preview_is_what_the_account_then_shows(connect: Connect) -> None:
    await quoting(connect)
    trader = await connect("trader")
    previewed = await trader.preview("BTC-PERP", "buy", Decimal("0.5"), "60010.0")
    assert previewed.allowed
    await trader.request("BTC-PERP", "buy", "0.5", "60010.0")
    snapshot = await trader.snapshot()
    assert (snapshot.equity, snapshot.maintenance) == (previewed.after.equity, previewed.after.maintenance)
    assert snapshot.positions[0].liquidation_price == previewed.liquidation_price
    assert snapshot.positions[0].bankruptcy_price == previewed.bankruptcy_price
    assert (snapshot.withdrawable_code, snapshot.unpaid_funding) == (None, "0.000000")


async def test_refusals_have_codes(connect: Connect) -> None:
    trader = await connect("poor", deposit=1_000_000)
    with pytest.raises(Refused) as refused:
        await trader.request("BTC-PERP", "buy", "1", "60010.0")
    assert (refused.value.code, refused.value.retryable) == ("insufficient_margin", False)
    with pytest.raises(Refused) as refused:
        await trader.request("BTC-PERP", "buy", "0.00001", "60010.0")
    assert refused.value.code == "bad_value"


async def test_a_broken_connection_resumes_without_gap_or_repeat(exchange: Any, connect: Connect) -> None:
    await quoting(connect)
    trader = await connect("trader", cancel_on_disconnect=False)
    numbers: list[int] = []
    for kind in (m.Fill, m.RequestClosed, m.Deposit):
        trader.on(kind, lambda event: numbers.append(event.n) if event.n else None)
    first = trader.head
    for round in range(4):
        trader._link.drop()
        await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000, f"more-{round}"))
        assert (await trader.request("BTC-PERP", "buy", "0.01", "60010.0")).outcome == "filled"
    assert numbers == list(range(first + 1, first + 13))
    assert exchange.engine.state.last_fill == 4
    assert Decimal((await trader.snapshot()).balance) == trader.balance


async def test_a_request_sent_into_a_break_is_answered_once(exchange: Any, connect: Connect) -> None:
    await quoting(connect)
    trader = await connect("trader")
    opened = trader.ask("BTC-PERP", "buy", "0.01", "60010.0")
    trader._link.drop()
    assert (await trader.answer_to(opened)).outcome == "filled"
    again = await trader.request("BTC-PERP", "buy", "0.01", "60010.0", key=opened.key)
    assert again.repeated
    assert exchange.engine.state.last_fill == 1


async def test_quotes_of_before_a_break_are_not_sent_after_it(exchange: Any, connect: Connect) -> None:
    maker = await connect("maker")
    on_its_way = asyncio.create_task(
        maker.quotes("BTC-PERP", [("59990.0", "50")], [("60010.0", "50")], 60_000)
    )
    await asyncio.sleep(0)  # sent
    maker._link.drop()
    with pytest.raises(NotSent):
        await maker.quotes("BTC-PERP", [("59990.0", "50")], [("60010.0", "50")], 60_000)
    with pytest.raises(NotSent):
        await on_its_way
    await maker.cancel_after(0)  # answered: so what was sent before it has been read
    trader = await connect("trader")
    assert (await trader.request("BTC-PERP", "buy", "0.01", "60010.0", ttl_ms=250)).outcome == "unfilled"


async def test_a_request_does_not_outlive_its_class(new_exchange: Any) -> None:
    outage_ns = 0
    exchange = await new_exchange(clock=lambda: time.time_ns() + outage_ns)
    await exchange.maker()
    trader = await Agent.connect(exchange.server.http_url, Keypair(), "trader")
    try:
        await exchange.engine.ask(c.BindSlot(trader.account, 0, trader.account - 14))
        await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000_000, "deposit"))
        trader._link.drop()
        opened = trader.ask("BTC-PERP", "buy", "0.01", "60010.0", ttl_ms=250)
        outage_ns = 2_000_000_000
        with pytest.raises(Refused) as refused:
            await trader.answer_to(opened)
        assert refused.value.code == "expired_command"
        assert (await trader.request("BTC-PERP", "buy", "0.01", "60010.0", ttl_ms=250)).outcome == "filled"
    finally:
        await trader.close()


async def test_what_filled_before_an_outage_is_told_after_it_however_long_it_was(new_exchange: Any) -> None:
    outage_ns = 0
    exchange = await new_exchange(clock=lambda: time.time_ns() + outage_ns)
    await exchange.maker()
    trader = await Agent.connect(exchange.server.http_url, Keypair(), "trader", cancel_on_disconnect=False)
    try:
        await exchange.engine.ask(c.BindSlot(trader.account, 0, trader.account - 14))
        await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000_000, "deposit"))
        opened = trader.ask("BTC-PERP", "buy", "0.01", "60010.0", ttl_ms=250)
        trader._link._transport.underlying_transport.pause_reading()
        while not exchange.engine.state.last_fill:
            await asyncio.sleep(0.01)
        outage_ns = 2_000_000_000
        assert not opened.closed.done()
        trader._link.drop()
        assert (await trader.answer_to(opened)).outcome == "filled"
        assert exchange.engine.state.last_fill == 1
    finally:
        await trader.close()


async def test_subscriptions_hold_over_breaks(exchange: Any, connect: Connect) -> None:
    maker, trader = await connect("maker"), await connect("trader")
    await maker.subscribe(["BTC-PERP"])
    asked: asyncio.Queue[m.Rfq] = asyncio.Queue()
    maker.on(m.Rfq, asked.put_nowait)
    maker._link.drop()
    while maker._link.breaks == 0 or not maker._talk.ready.is_set():
        await asyncio.sleep(0.01)
    await maker.cancel_after(0)  # answered: so what was sent before it has been read
    opened = trader.ask("BTC-PERP", "buy", "0.5", "60010.0", ttl_ms=250)
    assert (await asyncio.wait_for(asked.get(), 5)).market == "BTC-PERP"
    assert (await trader.answer_to(opened)).outcome == "unfilled"


async def test_no_answer_is_unknown_and_the_key_tells(
    exchange: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quoting(connect)
    trader = await connect("trader")
    monkeypatch.setattr("perpdex_sdk.conversation.PATIENCE", 0.0)
    with pytest.raises(AnswerUnknown) as unknown:
        await trader.request("BTC-PERP", "buy", "0.01", "60010.0")
    monkeypatch.undo()
    closed = await trader.request("BTC-PERP", "buy", "0.01", "60010.0", key=unknown.value.key)
    assert closed.outcome == "filled"
    assert exchange.engine.state.last_fill == 1


async def test_behind_a_proxy_agents_connect_where_they_are_told_to(new_exchange: Any) -> None:
    """The announced address leads nowhere here, as it does for an agent beside the proxy, which names the door itself."""
    announced = "wss://exchange.example/ws"
    exchange = await new_exchange(public_websocket_url=announced)
    status = (await exchange.http.get("/api/v1/status")).json()
    assert status["websocket"] == announced
    door = f"ws://127.0.0.1:{exchange.server.websocket_port}/ws"
    trader = await Agent.connect(exchange.server.http_url, Keypair(), "beside the proxy", websocket=door)
    try:
        assert trader._signed_in().websocket == announced
        await trader.cancel_after(0)
    finally:
        await trader.close()


NOWHERE = Custody(Escrow("", "", "", "", ""), None, None)


async def test_a_token_that_came_with_tls_goes_nowhere_without() -> None:
    agent = Agent(Rest("https://exchange.example"), Keypair(), "far away", NOWHERE, True)
    for announced, address in (("ws", None), ("wss", "ws://exchange.example:8081/ws")):
        agent._session = Session(16, "token", 1, f"{announced}://exchange.example/ws")
        agent._websocket = address
        with pytest.raises(Insecure):
            await agent._address(0)
    agent._websocket = None
    assert await agent._address(0) == "wss://exchange.example/ws"
    await agent.close()


async def test_an_event_of_a_newer_exchange_is_counted_and_passed_over(
    exchange: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    trader = await connect("trader")
    head, heard = trader.head, []
    trader.on(m.Deposit, heard.append)
    rebate = {"ev": "rebate", "n": head + 1, "seq": 99, "at": 1, "amount": "1"}
    deposit = {
        "ev": "deposit",
        "n": head + 2,
        "seq": 100,
        "at": 1,
        "amount": "5",
        "balance": "1005",
        "key": "k",
    }
    for message in (rebate, deposit, {"ev": "weather", "n": "cold"}):
        trader._receive(json.dumps(message).encode())
    assert trader.head == head + 2
    assert [event.amount for event in heard] == ["5"]
    assert trader._link.breaks == 0
    assert "rebate" in caplog.text


async def test_a_handler_that_fails_is_told_of_and_takes_nothing_from_others(
    exchange: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    trader = await connect("trader")
    heard: asyncio.Queue[str] = asyncio.Queue()

    def failing(event: m.Deposit) -> None:
        raise KeyError(event.key)

    trader.on(m.Deposit, failing)
    trader.on(m.Deposit, lambda event: heard.put_nowait(event.key))
    for key in ("first", "second"):
        await exchange.engine.ask(c.CreditDeposit(trader.account, 1_000_000, key))
        assert await asyncio.wait_for(heard.get(), 10) == key
    assert trader._link.breaks == 0
    assert caplog.text.count("a handler of Deposit failed") == 2
    assert "KeyError: 'second'" in caplog.text


async def test_the_exchange_restarts_under_its_agents(new_exchange: Any, tmp_path: Any) -> None:
    first = await new_exchange(http_port=0)
    agent = await Agent.connect(first.server.http_url, Keypair(), "survivor")
    await agent.protect("BTC-PERP", 1_000, "0.4", 5_000)
    ports = {"http_port": first.server.http_port, "websocket_port": first.server.websocket_port}
    try:
        await first.stop()
        first.options = ports
        await first.start()
        await first.engine.ask(c.BindSlot(agent.account, 0, agent.account - 14))
        await first.engine.ask(c.CreditDeposit(agent.account, 5_000_000, "after"))
        for _ in range(500):
            if agent.balance == 5:
                break
            await asyncio.sleep(0.01)
        assert agent.balance == 5
        assert (agent.account, 1) in first.engine.state.book.protections
    finally:
        await agent.close()
