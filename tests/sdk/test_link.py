"""The link is kept whatever address it is told, and whoever waits hears when nobody keeps it any more."""

import asyncio
from typing import Any

import pytest
from solders.keypair import Keypair

from perpdex_sdk import Agent, Closed, Unreachable
from perpdex_sdk.answers import Escrow, Session
from perpdex_sdk.custody import Custody
from perpdex_sdk.rest import Rest

NOWHERE = Custody(Escrow("", "", "", "", ""), None, None)
ORDER = ("BTC-PERP", "buy", "0.01", "60010.0")
GOOD = (
    "ws://127.0.0.1:8081/ws",
    "ws://[::1]:8081/ws",
    "wss://exchange.example/ws",
    "wss://b\u00fccher.example",
)
NO_ADDRESSES = (
    "",
    "ftp://x",
    "https://exchange.example/ws",
    "exchange.example:8081",
    "ws://",
    "ws://:8081/ws",
    "ws://127.0.0.1:99999/ws",
    "ws://127.0.0.1:0/ws",
    "ws://127.0.0.1:door/ws",
    "ws://[::1/ws",
    f"ws://{'x' * 64}.example/ws",
)


async def test_what_is_no_address_of_a_websocket_is_said_so() -> None:
    agent = Agent(Rest("http://exchange.example"), Keypair(), "misled", NOWHERE, True)
    for told in NO_ADDRESSES:
        agent._session = Session(16, "token", 1, told)
        with pytest.raises(Unreachable, match="is no address of a WebSocket"):
            agent._opened_at()
    for told in GOOD:
        agent._session = Session(16, "token", 1, told)
        assert agent._opened_at() == told
    await agent.close()


async def test_an_agent_that_is_told_no_address_does_not_connect(new_exchange: Any) -> None:
    exchange = await new_exchange(public_websocket_url="ws://127.0.0.1:99999/ws")
    with pytest.raises(Unreachable, match="99999"):
        await Agent.connect(exchange.server.http_url, Keypair(), "misled")


async def test_what_ends_the_link_is_told_to_whoever_waits(
    exchange: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = exchange.server.http_url

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody expected this")

    agent = await Agent.connect(url, Keypair(), "trader")
    try:
        await agent.protect("BTC-PERP", 1_000, "1", 1_000)
        monkeypatch.setattr("perpdex_sdk.link.ws_connect", broken)
        waiting = agent.ask(*ORDER)
        agent._link.drop()
        with pytest.raises(Closed, match="nobody expected this"):
            await asyncio.wait_for(waiting.closed, 20)
        (said,) = (record for record in caplog.records if record.levelname == "ERROR")
        assert said.exc_info is not None
        assert isinstance(said.exc_info[1], RuntimeError)
        with pytest.raises(Closed, match="nobody expected this"):
            agent.ask(*ORDER)
        with pytest.raises(Closed, match="nobody expected this"):
            await agent.cancel_after(0)
        with pytest.raises(Closed, match="nobody expected this"):
            await agent.quotes("BTC-PERP", [("59990", "1")], [("60010", "1")])
        with pytest.raises(Closed, match="nobody expected this"):
            await agent.protect("BTC-PERP", 1_000, "2", 1_000)
    finally:
        await agent.close()
    with pytest.raises(Closed, match="nobody expected this"):
        await Agent.connect(url, Keypair(), "another")
