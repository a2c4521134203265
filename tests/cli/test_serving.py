"""The API's process by itself: what it does without the others, and what it says when it cannot start."""

import asyncio
from typing import Any

import pytest
from solders.keypair import Keypair

from perpdex_sdk import Agent, Refused

MICRO = 1_000_000


async def funded(served: Any, name: str) -> Agent:
    agent = await Agent.connect(served.http, Keypair(), name)
    account = agent.account
    served.operate(type="BindSlot", account=account, page=0, slot=account - 14)
    served.operate(type="CreditDeposit", account=account, amount=10_000 * MICRO, key=f"deposit {account}")
    return agent


async def test_it_starts_and_trades_without_temporal_and_without_a_database(serve: Any) -> None:
    served = await asyncio.to_thread(lambda: serve().wait())
    maker, trader = await funded(served, "maker"), await funded(served, "trader")
    try:
        index = next(market for market in await maker.rest.markets() if market.symbol == "BTC-PERP").index
        assert index is not None
        price = str(round(float(index)))
        await maker.quotes("BTC-PERP", [], [(price, "0.01")], life_ms=60_000)
        closed = await trader.request("BTC-PERP", "buy", "0.01", price)
        assert (closed.outcome, closed.filled) == ("filled", "0.0100")
        with pytest.raises(Refused) as refused:
            await trader.rest.start_withdrawal("1", "w1", None)
        assert (refused.value.code, refused.value.retryable) == ("withdrawals_unavailable", True)
    finally:
        await maker.close()
        await trader.close()
