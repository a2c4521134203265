"""Funding after an outage: three hours were due while no worker ran, and the API is killed in the middle of paying them.

A journal is written whose last three hours nobody paid; the real API serves it, a real Temporal has the hours' workflows waiting, and
only then a worker comes.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import base58
import httpx
from temporalio.client import Client, ScheduleBackfill
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.engine_door import EngineDoor
from activities.funding import FundingActivities, MarketHour
from cli.ports import free_ports
from core import events as e
from core.funding import HOUR
from core.funding_hour import SAMPLE_EVERY
from core.market import DEFAULT_MARKETS
from matcher import commands as c
from matcher.apply import apply
from matcher.engine import Engine
from matcher.state import Exchange, conserved
from matcher.tail import Tail
from workflows.funding import FundingHourWorkflow, FundingWorkflow, funding_workflow_id
from workflows.schedules import FUNDING_SCHEDULE, ensure_schedules

ROOT = Path(__file__).resolve().parents[4]
TOKEN = "operator-token-of-the-tests-0123456789"
QUEUE = "funding"
PATIENCE_S = 180
MISSED = 3
INDEX = 600_000


class Past:
    """A clock that stands where it is put."""

    now = 0

    def __call__(self) -> int:
        return self.now


async def write_past(directory: Path) -> int:
    """A journal in which three accounts hold positions in every market for `MISSED` unpaid hours; returns the last of them.

    Each hour has its own index price and three premiums, the first one two.
    """
    last, clock = time.time_ns() // HOUR, Past()
    clock.now = (last - MISSED) * HOUR
    engine = Engine(directory, clock)
    for market in DEFAULT_MARKETS:
        await engine.ask(c.ListMarket(market))
    accounts = []
    for number in range(1, 4):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        registered: Any = await engine.ask(c.RegisterAgent(owner, "agent"))
        accounts.append(registered[0].account)
        await engine.ask(c.BindSlot(accounts[-1], 0, number + 1))
        await engine.ask(c.CreditDeposit(accounts[-1], 10**12, f"deposit {number}"))
    for hour in range(MISSED):
        for sample in range(3):
            clock.now = (last - MISSED + hour) * HOUR + sample * SAMPLE_EVERY
            for market in DEFAULT_MARKETS:
                await _quote(engine, market.id, accounts[:2], INDEX + hour)
                if hour == sample == 0:
                    order = c.OpenRequest(accounts[2], f"k{market.id}", market.id, 1, 50, INDEX + 10, 10**9)
                    await engine.ask(order)
            while 0 < engine.state.next_deadline() <= clock.now:
                await engine.ask(c.Advance())
    engine.close()
    return last


async def _quote(engine: Engine, market: int, makers: list[int], index: int) -> None:
    at = engine.clock()
    await engine.ask(c.UpdateIndex(market, index, 0, at, "test"))
    for maker in makers:
        expires = at + 20 * 10**9
        await engine.ask(c.SetQuotes(maker, market, ((index - 5, 100),), ((index + 5, 100),), expires))


class Api:
    """The real API over that journal, in a process that can be killed."""

    def __init__(self, directory: Path, temporal: str) -> None:
        self.directory = directory
        self.port, websocket = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {
            "PERPDEX_DATA": str(directory),
            "DATABASE_URL": "postgresql://127.0.0.1:1/none",
            "TEMPORAL_ADDRESS": temporal,
            "SOLANA_RPC_URL": "http://127.0.0.1:1",
            "API_PORT": str(self.port),
            "WEBSOCKET_PORT": str(websocket),
            "OPERATOR_TOKEN": TOKEN,
            "PYTH_URL": "",
        }

    async def start(self) -> None:
        with (self.directory / "api.log").open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "serve", "api"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", **self._settings},
                stdout=output,
                stderr=output,
            )
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    if (await http.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    assert self._child.poll() is None, (self.directory / "api.log").read_text()
                    await asyncio.sleep(0.1)

    def end(self, how: signal.Signals) -> None:
        self._child.send_signal(how)
        self._child.wait(30)


@asynccontextmanager
async def working(client: Client, url: str) -> AsyncIterator[None]:
    door = EngineDoor(url, TOKEN)
    activities = FundingActivities(door)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[FundingHourWorkflow, FundingWorkflow],
        activities=[activities.funded_markets, activities.missed_hours, activities.pay_hour],
    ):
        yield
    await door.close()


async def miss(client: Client, last: int) -> None:
    """Have the Schedule start what was due in these hours, by its own policy on what overlaps."""
    due = datetime.fromtimestamp(last * 3_600, UTC)
    start, end = due - timedelta(hours=MISSED - 1, minutes=1), due + timedelta(minutes=1)
    await client.get_schedule_handle(FUNDING_SCHEDULE).backfill(ScheduleBackfill(start, end))


async def started(client: Client, runs: int) -> None:
    """The Schedule has started so many runs, and all of them have ended."""
    while True:
        info = (await client.get_schedule_handle(FUNDING_SCHEDULE).describe()).info
        if info.num_actions >= runs and not info.running_actions:
            return
        await asyncio.sleep(0.1)


async def paid(client: Client, market: Any, hour: int) -> Any:
    """What the workflow of that market and hour came to, once there is one."""
    id = funding_workflow_id(MarketHour(market.id, market.symbol, hour))
    while True:
        try:
            return await client.get_workflow_handle_for(FundingWorkflow.run, id).result()
        except RPCError:
            await asyncio.sleep(0.1)


def settled(directory: Path) -> list[e.FundingSettled]:
    tail = Tail(directory / "journal", 0)
    try:
        found = []
        while records := tail.read():
            found += [event for _, event in records if isinstance(event, e.FundingSettled)]
        return found
    finally:
        tail.close()


def replayed(directory: Path) -> Exchange:
    state, tail = Exchange(), Tail(directory / "journal", 0)
    try:
        while records := tail.read():
            for _, event in records:
                apply(state, event)
    finally:
        tail.close()
    return state


async def test_three_missed_hours_are_paid_once_and_in_order_though_the_api_is_killed_and_all_runs_twice(
    client: Client, tmp_path: Path
) -> None:
    last = await write_past(tmp_path / "journal")
    missed = [last - 2, last - 1, last]
    api = Api(tmp_path, client.service_client.config.target_host)
    async with asyncio.timeout(PATIENCE_S):
        await api.start()
        await ensure_schedules(client, QUEUE, timedelta(days=365))
        policy = (await client.get_schedule_handle(FUNDING_SCHEDULE).describe()).schedule.policy
        # What Temporal itself could not start because it was down it starts when it is back.
        assert policy.catchup_window > timedelta(hours=MISSED)
        await miss(client, last)
        async with working(client, api.url):
            while not settled(tmp_path):
                await asyncio.sleep(0.005)
            api.end(signal.SIGKILL)
            await api.start()
            results = {
                (market.id, hour): await paid(client, market, hour)
                for market in DEFAULT_MARKETS
                for hour in missed
            }
            await started(client, MISSED)
            # All of it runs twice.
            await miss(client, last)
            await started(client, 2 * MISSED)
        api.end(signal.SIGTERM)
    records = settled(tmp_path)
    for market in DEFAULT_MARKETS:
        mine = [event for event in records if event.market == market.id and event.hour <= last]
        assert [event.hour for event in mine] == missed
        assert [event.index for event in mine] == [INDEX, INDEX + 1, INDEX + 2]
        # A sample comes at an instant within its five seconds that nobody can foresee.
        assert all(event.accounts == 2 and 1 <= event.samples <= 3 for event in mine)
        assert [results[market.id, event.hour].paid for event in mine] == [event.paid for event in mine]
        assert all(event.paid > 0 for event in mine)
    assert conserved(replayed(tmp_path))
