"""The sweep by its Schedule on a real Temporal, over the real operator door of an exchange whose watch has a fault."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import base58
from temporalio.client import Client, ScheduleOverlapPolicy
from temporalio.worker import Worker

from activities.engine_door import EngineDoor
from activities.sweep import SweepActivities
from api.collaborators import EscrowInfo
from api.history import History
from api.quant import VaultTrading
from api.server import Given, Server
from api.sessions import Sessions
from api.vault_books import VaultBooks
from api.withdrawals import TemporalWithdrawals
from core.accounts import INSURANCE
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND, Nanos
from core.risk_template import RiskTemplate
from feeding import feed_into
from ledger.database import open_pool
from ledger.queries import Queries
from matcher import commands as c
from matcher.engine import Engine
from oracles.generator import STARTS
from oracles.sources import Played
from workflows.exec_service import ExecService
from workflows.schedules import ensure_schedules
from workflows.sweep import SWEEP_SCHEDULE, Sweep, SweepWorkflow

TOKEN = "operator-token-of-the-tests-0123456789"
QUEUE = "sweep"
PATIENCE_S = 80
LOTS = 100_000
INDEX, CRASH = 600_000, 590_000


@asynccontextmanager
async def served(journal: Path, client: Client) -> AsyncIterator[tuple[Engine, str]]:
    """An exchange with its doors, and no database."""
    engine, pool = Engine(journal, time.time_ns), open_pool("postgresql://127.0.0.1:1/none")
    for market in DEFAULT_MARKETS:
        engine.submit(c.ListMarket(market), None)
    given = Given(
        engine=engine,
        journal=journal,
        sessions=Sessions(b"s" * 32, {"operator": TOKEN}, time.time_ns),
        reads=History(Queries(pool)),
        withdrawals=TemporalWithdrawals(client, QUEUE),
        quant=VaultTrading(ExecService(client, "none"), pool),
        escrow=EscrowInfo("11111111111111111111111111111112", "e", "v", "m", "http://127.0.0.1:1"),
        prices=feed_into(engine, Played({}, STARTS, start=Nanos(0), seed=1)),
        vaults=VaultBooks(lambda: pool, frozenset(), RiskTemplate(frozenset(), None, {})),
        lag_max=60 * SECOND,
    )
    server = await Server.start(given)
    yield engine, server.http_url
    await server.stop()
    engine.close()
    await pool.dispose()


async def overlooked(engine: Engine) -> int:
    """A long far below maintenance that the watch no longer knows, and a maker who would take what it holds; returns the long."""
    accounts = []
    for number, amount in enumerate((10**13, 13_000_000_000), 1):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        registered: Any = await engine.ask(c.RegisterAgent(owner, "a"))
        accounts.append(registered[0].account)
        await engine.ask(c.BindSlot(accounts[-1], 0, number + 1))
        await engine.ask(c.CreditDeposit(accounts[-1], amount, f"d{number}"))
    maker, trader = accounts
    await engine.ask(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    index(engine, INDEX)
    await engine.ask(quotes(engine, maker, (), ((INDEX, LOTS),)))
    await engine.ask(c.OpenRequest(trader, "k", 1, 1, LOTS, INDEX, SECOND))
    index(engine, INDEX)
    engine.state.watch.below.clear()
    engine.state.watch.above.clear()
    index(engine, CRASH)
    await engine.ask(quotes(engine, maker, ((CRASH - 10, LOTS),), ()))
    return int(trader)


def index(engine: Engine, price: int) -> None:
    engine.submit(c.UpdateIndex(1, price, 0, engine.clock(), "test"), None)


def quotes(engine: Engine, maker: int, bids: Any, asks: Any) -> c.SetQuotes:
    return c.SetQuotes(maker, 1, bids, asks, engine.clock() + 60 * SECOND)


async def result_of_sweep(client: Client) -> Sweep:
    """Have the Schedule start a sweep now, and wait for it."""
    schedule = client.get_schedule_handle(SWEEP_SCHEDULE)
    described = await schedule.describe()
    assert described.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    await schedule.trigger()
    while not (started := (await schedule.describe()).info.recent_actions):
        await asyncio.sleep(0.1)
    run: Any = started[0].action
    handle = client.get_workflow_handle_for(SweepWorkflow.run, run.workflow_id)
    return await handle.result()


async def test_an_overlooked_account_is_liquidated_and_the_fund_gets_rid_of_what_it_took(
    client: Client, tmp_path: Path
) -> None:
    async with asyncio.timeout(PATIENCE_S), served(tmp_path / "journal", client) as (engine, url):
        trader, door = await overlooked(engine), EngineDoor(url, TOKEN)
        activities = SweepActivities(door)
        assert engine.state.last_liquidation == 0
        await ensure_schedules(client, QUEUE, timedelta(days=365))
        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[SweepWorkflow],
            activities=[activities.review_accounts, activities.sell_inventory],
        ):
            sweep = await result_of_sweep(client)
        await door.close()
        assert (sweep.forgotten, sweep.going_on, sweep.trouble) == ([trader], [], "")
        assert (sweep.sold, sweep.left) == (LOTS, 0)
        account, fund = engine.state.accounts[trader], engine.state.accounts[INSURANCE]
        assert (account.balance, account.positions, fund.positions) == (0, {}, {})
        assert fund.balance > 10**11
