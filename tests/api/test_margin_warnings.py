"""Warnings on the private stream: numbered like all events there, in the order in which margin fell, told again to who was away."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

FALLS = {598_900: "0.500000", 594_300: "0.800000", 593_500: "0.900000"}
"""Indexes at which the maintenance of 10 BTC, bought at 60,000 with 13,000 USDC, has come to a level of equity."""
PATIENCE_S = 30


@pytest.fixture
async def trader(exchange: Any) -> Any:
    """Connected, and long 10 BTC at 60,000 with 13,000 USDC left after the fee."""
    await exchange.maker(bid="59990.0", ask="60000.0")
    agent = await exchange.agent("trader", deposit=13_300_000_000)
    await agent.open()
    body = {"id": "o-1", "market": "BTC-PERP", "side": "buy", "size": "10", "limit": "60000"}
    answer = await exchange.http.post("/api/v1/requests", json=body, headers=agent.headers)
    assert answer.json()["outcome"] == "filled", answer.text
    return agent


async def fall(exchange: Any, agent: Any, prices: Any) -> list[dict[str, Any]]:
    """The warning that each of these prices brings the connected agent."""
    found = []
    for price in prices:
        exchange.index(1, price)
        found.append(await agent.until("margin_warning"))
    return found


async def heard(exchange: Any, agent: Any, level: str) -> None:
    """Until the engine has warned the agent at that level."""
    while exchange.engine.state.accounts[agent.account].warned != Decimal(level) * 1_000_000:
        await asyncio.sleep(0.01)


async def test_each_level_is_told_once_in_order_and_taken_back_when_it_no_longer_holds(
    exchange: Any, trader: Any
) -> None:
    told = await fall(exchange, trader, FALLS)
    assert [one["level"] for one in told] == list(FALLS.values())
    first, second, third = (one["n"] for one in told)
    assert (second, third) == (first + 1, first + 2)
    assert told[0]["maintenance"] == "5989.000000"
    assert [Decimal(one["equity"]) for one in told] == [11_900, 7_300, 6_500]
    exchange.index(1, 593_400)
    (lifted,) = await fall(exchange, trader, [600_000])
    assert (lifted["n"], lifted["level"]) == (third + 1, "0.500000")


async def test_warnings_while_nobody_was_connected_come_with_the_next_connection(
    exchange: Any, trader: Any
) -> None:
    (seen,) = await fall(exchange, trader, [598_900])
    trader.socket.transport.abort()
    for price in (594_300, 593_500):
        exchange.index(1, price)
        await asyncio.wait_for(heard(exchange, trader, FALLS[price]), PATIENCE_S)
    await trader.open(resume_from=seen["n"])
    missed = [await trader.receive() for _ in range(2)]
    assert [(one["ev"], one["n"], one["level"]) for one in missed] == [
        ("margin_warning", seen["n"] + 1, "0.800000"),
        ("margin_warning", seen["n"] + 2, "0.900000"),
    ]


async def test_warnings_are_told_again_after_a_restart(exchange: Any, trader: Any) -> None:
    told = await fall(exchange, trader, FALLS)
    await exchange.stop()
    await exchange.start()
    await trader.open(resume_from=told[0]["n"] - 1)
    assert [await trader.receive() for _ in told] == told
