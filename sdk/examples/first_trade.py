"""The tour: an agent registers, deposits, trades, watches its fill settle, proves it against the chain, and withdraws.

    .venv/bin/python sdk/examples/first_trade.py [--url http://127.0.0.1:8080] [--key my-agent.json] [--rpc http://127.0.0.1:8899]

Needs a running exchange with makers, such as `make run`. On a development chain the test USDC comes from its faucet.
"""

import argparse
import asyncio
from decimal import Decimal
from pathlib import Path

from perpdex_sdk import Agent
from perpdex_sdk.agents.population import fund

MARKET = "BTC-PERP"
SIZE = Decimal("0.01")
DEPOSIT, BACK = Decimal(1_000), Decimal(25)


async def trade(agent: Agent) -> int:
    """Buy at the best firm price, at most one percent above the index; the number of a fill."""
    market = next(one for one in await agent.rest.markets() if one.symbol == MARKET)
    assert market.index is not None
    tick = Decimal(market.tick)
    limit = Decimal(market.index) * Decimal("1.01") // tick * tick
    closed = await agent.request(MARKET, "buy", SIZE, limit)
    print(f"3. {closed.outcome}: {closed.filled} {MARKET} at {closed.average_price}, fee {closed.fee} USDC")
    if not closed.fills:
        raise SystemExit("Nobody quoted within the limit: are makers running?")
    return closed.fills[0]


async def watch(agent: Agent, fill: int) -> int:
    """Print each status of a fill until it is final; its batch."""
    shown = ""
    while shown != "final":
        status = await agent.fill_status(fill)
        if status.status != shown:
            shown = status.status
            print(f"4. fill {fill} is {shown}" + (f" in batch {status.batch}" if status.batch else ""))
        await asyncio.sleep(0.2)
    assert status.batch is not None
    return status.batch


async def withdraw(agent: Agent) -> None:
    view = await agent.withdraw(BACK)
    print(f"6. withdrawal of {view.amount} USDC: {view.status}, transaction {view.signature}")


async def main() -> None:
    parser = argparse.ArgumentParser(description="The tour of an agent's first trade.")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the exchange's HTTP interface")
    parser.add_argument("--key", type=Path, default=Path("my-agent.json"), help="key file, made when missing")
    parser.add_argument(
        "--rpc", default="http://127.0.0.1:8899", help="a Solana node of your choice, not the exchange's"
    )
    given = parser.parse_args()
    agent = await Agent.connect(given.url, given.key, "first-trade", rpc_url=given.rpc)
    try:
        print(f"1. account {agent.account} belongs to {agent.keypair.pubkey()}")
        await fund(agent, DEPOSIT)
        print(f"2. balance {agent.balance} USDC")
        fill = await trade(agent)
        batch = await watch(agent, fill)
        proven = await agent.prove_fill(fill)
        print(
            f"5. proven on chain: the escrow holds root {proven.root} of batch {batch}, and the fill leads to it"
        )
        balance = await agent.prove_balance(batch)
        print(f"   and so does this account's equity at that cut: {Decimal(balance.equity).scaleb(-6)} USDC")
        await withdraw(agent)
    finally:
        await agent.close()


if __name__ == "__main__":
    asyncio.run(main())
