"""The API process is killed at random instants under load: what a client was told is so, once, and nothing else is."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from activities.schedules import SETTLEMENT_ID
from cli.stack import Stack
from core.events import Event, Filled, RequestClosed
from core.market import DEFAULT_MARKETS
from ledger.database import open_pool
from ledger.queries import Queries
from matcher.apply import apply
from matcher.state import Exchange
from matcher.tail import Tail
from perpdex_sdk import messages as m
from perpdex_sdk.agent import Agent
from perpdex_sdk.agents.maker import Maker
from perpdex_sdk.agents.population import Prices, Report, fund
from perpdex_sdk.errors import AnswerUnknown, Refused
from perpdex_sdk.keys import key_at
from places import database_url
from wiring import engine_door, escrow_client, temporal_client
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
KILLS = 50
TRADERS = 8
MAKERS = 3
START_PRICE = {"BTC-PERP": "60000", "ETH-PERP": "3000", "SOL-PERP": "150"}
LOTS = {market.symbol: Decimal(market.lot) for market in DEFAULT_MARKETS}
IDS = {market.symbol: market.id for market in DEFAULT_MARKETS}


class Trader:
    """Asks without pause, and remembers what it ordered and what it was told."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.ordered: dict[str, tuple[int, int, int]] = {}
        self.told: dict[str, m.RequestClosed] = {}
        self.refused: dict[str, str] = {}
        self.fills = 0

    async def run(self, stopped: asyncio.Event) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            symbol, side = random.choice(list(LOTS)), random.choice(("buy", "sell"))
            lots, key = random.randint(1, 50), f"{self.agent.account}-{number}"
            limit = Decimal(START_PRICE[symbol]) * (2 if side == "buy" else Decimal("0.5"))
            self.ordered[key] = (IDS[symbol], 1 if side == "buy" else -1, lots)
            size = lots * LOTS[symbol]
            await self._ask(key, symbol, side, size, limit)

    async def _ask(self, key: str, symbol: str, side: str, size: Decimal, limit: Decimal) -> None:
        """Ask under one key until there is an answer: an unknown outcome is resolved by asking again."""
        while key not in self.told and key not in self.refused:
            try:
                told = await self.agent.request(symbol, side, size, limit, key=key, ttl_ms=250)
                self.told[key] = told
                self.fills += len(told.fills)
            except Refused as refused:
                self.refused[key] = refused.code
                await asyncio.sleep(0.01)
            except AnswerUnknown:
                continue


@pytest_asyncio.fixture(loop_scope="module")
async def population(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[list[Trader], list[Maker], Prices]]:
    """Funded agents that reconnect without much patience, so that they are back at work soon after each kill."""
    monkeypatch.setattr("perpdex_sdk.link.PAUSE_MAX", 0.1)
    url, prices = stack.settings.api_url, Prices(stack.settings.api_url)
    await prices.read()
    agents = await asyncio.gather(
        *(
            Agent.connect(url, key_at(tmp_path / f"{number}.json"), f"agent-{number}")
            for number in range(TRADERS + MAKERS)
        )
    )
    try:
        await asyncio.gather(*(fund(agent, Decimal(100_000)) for agent in agents))
        yield (
            [Trader(agent) for agent in agents[:TRADERS]],
            [Maker(agent, prices, Report(), list(LOTS)) for agent in agents[TRADERS:]],
            prices,
        )
    finally:
        await asyncio.gather(*(agent.close() for agent in agents))


async def test_fifty_kills_lose_nothing_and_invent_nothing(
    stack: Stack, population: tuple[list[Trader], list[Maker], Prices]
) -> None:
    traders, makers, prices = population
    stopped = asyncio.Event()
    quoting = [asyncio.create_task(prices.run()), *(asyncio.create_task(maker.run()) for maker in makers)]
    trading = [asyncio.create_task(trader.run(stopped)) for trader in traders]
    for _ in range(KILLS):
        await filled_again(traders)
        await asyncio.sleep(random.uniform(0, 0.4))
        os.kill(stack.child("api").pid, signal.SIGKILL)
        await asyncio.to_thread(stack.start_api)
    await filled_again(traders)
    stopped.set()
    async with asyncio.timeout(120):
        await asyncio.gather(*trading)
    for task in quoting:
        task.cancel()
    await asyncio.gather(*quoting, return_exceptions=True)
    journal = await settled_journal(stack)
    await chain_and_ledger_agree(stack, journal)
    every_answer_is_so(journal, traders)
    nothing_was_invented(journal, traders)
    nothing_refused_was_done(journal, traders)
    assert sum(told.outcome == "filled" for trader in traders for told in trader.told.values()) > KILLS
    assert all(len(trader.told) + len(trader.refused) == len(trader.ordered) for trader in traders)
    assert all(trader.agent.mismatches == 0 for trader in traders)


async def filled_again(traders: list[Trader]) -> None:
    """Until somebody is told of a fill: whatever is killed next is killed at work."""
    before = sum(trader.fills for trader in traders)
    async with asyncio.timeout(60):
        while sum(trader.fills for trader in traders) == before:
            await asyncio.sleep(0.005)


async def settled_journal(stack: Stack) -> list[tuple[int, Event]]:
    """Everything on disk, when all fills of it are final."""
    client = await temporal_client(stack.settings)
    handle = client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
    async with asyncio.timeout(60):
        await settle_now(handle)
    tail = Tail(stack.settings.perpdex_data / "journal", 0)
    records: list[tuple[int, Event]] = []
    while more := tail.read():
        records += more
    tail.close()
    return records


async def chain_and_ledger_agree(stack: Stack, journal: list[tuple[int, Event]]) -> None:
    pool, escrow = open_pool(database_url(stack.settings)), await escrow_client(stack.settings)
    door = engine_door(stack.settings)
    fills = sum(isinstance(event, Filled) for _, event in journal)
    try:
        state, queries = await door.state(), Queries(pool)
        async with asyncio.timeout(30):
            while await queries.projected() < state.seq:
                await asyncio.sleep(0.1)
        totals, snapshot = await queries.totals(), await escrow.view.snapshot()
    finally:
        await door.close()
        await escrow.client.close()
        await pool.dispose()
    assert (totals.total, totals.fills, totals.final_fills) == (0, fills, fills)
    assert totals.positions_zero_sum
    assert totals.clearing_matches
    assert state.conserved
    assert state.positions_zero_sum
    assert snapshot.vault == snapshot.promised == -totals.outside == state.vault_expected


def every_answer_is_so(journal: list[tuple[int, Event]], traders: list[Trader]) -> None:
    """What a client was told is in the journal, exactly once and with the same numbers."""
    fills = {event.fill: event for _, event in journal if isinstance(event, Filled)}
    closed = [event for _, event in journal if isinstance(event, RequestClosed)]
    once = {(event.account, event.key): event for event in closed}
    assert len(once) == len(closed)
    for trader in traders:
        account = trader.agent.account
        for key, told in trader.told.items():
            event = once[account, key]
            assert (event.request, event.outcome, event.fills) == (told.request, told.outcome, told.fills)
            assert all(fills[fill].taker == account for fill in told.fills)
            assert Decimal(told.filled) == event.filled * LOTS[told.market]


def nothing_refused_was_done(journal: list[tuple[int, Event]], traders: list[Trader]) -> None:
    """A refusal is the fate of its key, whichever copy of the request it was the answer to."""
    answered = {(event.account, event.key) for _, event in journal if isinstance(event, RequestClosed)}
    refused = {(one.agent.account, key): code for one in traders for key, code in one.refused.items()}
    assert {key: code for key, code in refused.items() if key in answered} == {}


def nothing_was_invented(journal: list[tuple[int, Event]], traders: list[Trader]) -> None:
    """Every fill is of a request that somebody sent, within its terms, and the journal replays to one state."""
    ordered = {(one.agent.account, key): terms for one in traders for key, terms in one.ordered.items()}
    fills = [event for _, event in journal if isinstance(event, Filled)]
    assert [event.fill for event in fills] == list(range(1, len(fills) + 1))
    owner: dict[int, tuple[int, str]] = {}
    for _, event in journal:
        if isinstance(event, RequestClosed):
            market, side, lots = ordered[event.account, event.key]
            assert (event.market, event.side, event.size) == (market, side, lots)
            assert event.filled <= lots
            owner |= dict.fromkeys(event.fills, (event.account, event.key))
    assert sorted(owner) == [event.fill for event in fills]
    state = Exchange()
    for _, event in journal:
        apply(state, event)
    assert state.last_fill == len(fills)
