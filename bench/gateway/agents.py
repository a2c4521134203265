"""Agents as anybody gets them: registered over HTTP with a signature, with a slot and a deposit from the operator's door."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, NamedTuple

import httpx
from solders.keypair import Keypair

from bench.gateway.exchange import OPERATOR_TOKEN
from bench.gateway.links import LIMITS, Maker, Times, Trader
from chain.deltas import SLOTS_PER_PAGE
from core.market import DEFAULT_MARKETS
from perpdex_sdk.rest import Rest

DEPOSIT: Final = 1_000_000_000 * 1_000_000
SYMBOLS: Final = tuple(LIMITS)
MIDDLES: Final = {"BTC-PERP": 60_000, "ETH-PERP": 6_000, "SOL-PERP": 600}
TICKS: Final = {market.symbol: Decimal(market.tick) for market in DEFAULT_MARKETS}
PRICES: Final = 20
"""Different prices of each maker on each side."""
KEYS_APART: Final = 10**9
"""Requests that an agent may send before its keys meet another's; the clients tell them apart by key alone."""
QUOTES_EVERY_S: Final = 20
MAKERS_PER_MARKET: Final = 10


class Credentials(NamedTuple):
    account: int
    token: str


@asynccontextmanager
async def operator_at(http_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Calls with the operator's token."""
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    async with httpx.AsyncClient(base_url=http_url, headers=headers, timeout=30) as operator:
        yield operator


async def entered(operator: httpx.AsyncClient, http_url: str, owner: Keypair, name: str) -> Credentials:
    """The agent of an owner, new, with a slot and money."""

    async def command(**fields: Any) -> None:
        (await operator.post("/api/v1/operator/commands", json=fields)).raise_for_status()

    rest = Rest(http_url)
    session = await rest.sign_in(owner, name, (await rest.escrow()).escrow)
    await rest.close()
    account = session.account
    place = {"page": account // SLOTS_PER_PAGE, "slot": account % SLOTS_PER_PAGE}
    await command(type="BindSlot", account=account, **place)
    await command(type="CreditDeposit", account=account, amount=DEPOSIT, key=f"deposit {account}")
    return Credentials(account, session.token)


async def registered(http_url: str, count: int) -> list[Credentials]:
    """New agents with money."""
    async with operator_at(http_url) as operator:
        return [await entered(operator, http_url, Keypair(), f"agent {number}") for number in range(count)]


async def connected_traders(port: int, agents: list[Credentials], times: Times) -> list[Trader]:
    traders = []
    for agent in agents:
        trader = Trader(times, SYMBOLS, agent.account * KEYS_APART)
        await trader.open(port, token=agent.token)
        traders.append(trader)
    return traders


def prices(symbol: str, place: int) -> list[tuple[str, str]]:
    """Prices that move by ticks from quote to quote, those of a higher place always worse."""
    middle, tick = MIDDLES[symbol], TICKS[symbol]
    distances = (tick * (PRICES * place + step) for step in range(PRICES))
    return [(f"{middle - distance}", f"{middle + distance}") for distance in distances]


async def connected_makers(port: int, agents: list[Credentials]) -> list[Maker]:
    """Makers that wait for nothing but what they are asked, ten in each market."""
    makers = []
    for number, agent in enumerate(agents):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        maker = Maker(prices(symbol, 1 + number // len(SYMBOLS)))
        await maker.open(port, token=agent.token)
        await maker.ask({"op": "subscribe", "id": "s", "markets": [symbol]})
        makers.append(maker)
    return makers


async def quote(maker: Maker) -> None:
    """Stand on both sides of every market, for a minute, with no more than the deposit backs."""
    for symbol, middle in MIDDLES.items():
        sides = {"bids": [[f"{middle - 1}", "10000"]], "asks": [[f"{middle + 1}", "10000"]]}
        await maker.ask({"op": "quotes", "id": "q", "market": symbol, **sides, "life_ms": 60_000})


async def keep_quoting(maker: Maker) -> None:
    """Renew the quotes long before they expire."""
    while True:
        await asyncio.sleep(QUOTES_EVERY_S)
        await quote(maker)
