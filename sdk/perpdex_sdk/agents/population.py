"""What the example agents share: key files, first funds, index prices, and reports as JSON lines on stdout."""

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from perpdex_sdk.agent import Agent
from perpdex_sdk.errors import ExchangeError
from perpdex_sdk.markets import Market
from perpdex_sdk.messages import Deposit, RequestClosed
from perpdex_sdk.rest import Rest
from perpdex_sdk.rpc import Rpc

INDEX_PAUSE = 0.5
REPORT_PAUSE = 1.0
FUNDS_PATIENCE = 120.0
TEST_LAMPORTS = 1_000_000_000


class Report:
    """Collects what happened and prints it once a second, one JSON object a line."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, str, str, tuple[int, ...], float]] = []
        self._refused: Counter[str] = Counter()
        self._unknown = 0

    def line(self, kind: str, **fields: object) -> None:
        print(json.dumps({"type": kind, **fields}), flush=True)

    def answer(self, account: int, closed: RequestClosed, ms: float) -> None:
        """A final answer, and the time from sending the request to receiving it."""
        self._answers.append((account, closed.key, closed.outcome, closed.fills, round(ms, 3)))

    def refused(self, code: str) -> None:
        self._refused[code] += 1

    def unknown(self) -> None:
        self._unknown += 1

    def flush(self) -> None:
        if self._answers or self._refused or self._unknown:
            self.line("answers", answers=self._answers, refused=self._refused, unknown=self._unknown)
            self._answers, self._refused, self._unknown = [], Counter(), 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(REPORT_PAUSE)
            self.flush()


class Prices:
    """Index prices of all markets, read twice a second for all agents of the process."""

    def __init__(self, url: str) -> None:
        self._rest = Rest(url)
        self.markets: dict[str, Market] = {}

    def index(self, symbol: str) -> Decimal | None:
        market = self.markets.get(symbol)
        return Decimal(market.index) if market is not None and market.index is not None else None

    async def read(self) -> None:
        self.markets = {market.symbol: market for market in await self._rest.markets()}

    async def run(self) -> None:
        while True:
            try:
                await self.read()
            except ExchangeError as error:
                print(f"prices: {error}", file=sys.stderr)
            await asyncio.sleep(INDEX_PAUSE)


async def fund(agent: Agent, amount: Decimal) -> None:
    """Deposit `amount` USDC unless the agent has half of it already. On a development chain the faucet gives it first."""
    if agent.balance >= amount / 2:
        return
    credited = asyncio.Event()
    agent.on(Deposit, lambda _: credited.set())
    rpc = Rpc(agent.node)
    try:
        if (await rpc.call("getVersion")).get("perpdexLocalnet"):
            owner = str(agent.keypair.pubkey())
            await rpc.call("requestAirdrop", owner, TEST_LAMPORTS)
            await rpc.call("perpdexMintTestUsdc", owner, int(amount * 1_000_000))
    finally:
        await rpc.close()
    await agent.deposit(amount)
    async with asyncio.timeout(FUNDS_PATIENCE):
        await credited.wait()


def arguments(role: str, about: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"perpdex_sdk.agents.{role}", description=about)
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", help="address of the exchange's HTTP interface"
    )
    parser.add_argument("--keys", type=Path, default=Path("keys"), help="directory of the agents' key files")
    parser.add_argument("--rpc", help="URL of a Solana node; by default the one that the exchange names")
    parser.add_argument("--count", type=int, default=1, help="agents in this process")
    parser.add_argument("--first", type=int, default=1, help="number of the first agent")
    parser.add_argument(
        "--markets", default="BTC-PERP,ETH-PERP,SOL-PERP", help="symbols, separated by commas"
    )
    parser.add_argument(
        "--deposit", type=Decimal, default=Decimal(100_000), help="USDC to deposit at first; 0 for none"
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="how long to run; 0 until stopped")
    if role == "trader":
        parser.add_argument(
            "--pause", type=float, default=1.0, help="mean seconds between an agent's requests"
        )
    return parser.parse_args()


async def populate(
    role: str, given: argparse.Namespace, act: Callable[[Agent, Prices, Report], Coroutine[Any, Any, None]]
) -> None:
    """Connect, fund and run `act` for every agent until the time is up or the process is told to stop."""
    report, prices = Report(), Prices(given.url)
    await prices.read()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    names = [f"{role}-{number}" for number in range(given.first, given.first + given.count)]
    agents = await asyncio.gather(
        *(Agent.connect(given.url, given.keys / f"{name}.json", name, rpc_url=given.rpc) for name in names)
    )
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(prices.run()), loop.create_task(report.run())]
    try:
        funded = asyncio.gather(*(fund(agent, given.deposit) for agent in agents if given.deposit))
        if not await _done_before(stop, funded):
            return
        report.line("ready", role=role, agents=[agent.account for agent in agents])
        tasks += [loop.create_task(act(agent, prices, report)) for agent in agents]
        await _until(stop, tasks, given.seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        mismatches = sum(agent.mismatches for agent in agents)
        await asyncio.gather(*(agent.close() for agent in agents))
        report.flush()
        report.line("done", role=role, mismatches=mismatches)


async def _done_before(stop: asyncio.Event, work: "asyncio.Future[Any]") -> bool:
    """Whether it is done; told to stop, whoever still waits for the chain is left where it is."""
    stopped: asyncio.Future[Any] = asyncio.get_running_loop().create_task(_wait(stop))
    await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
        return False
    work.result()
    return True


async def _until(stop: asyncio.Event, tasks: list["asyncio.Task[None]"], seconds: float) -> None:
    """Return when told to stop or the time is up; raise what ended a task before."""
    stopped = asyncio.get_running_loop().create_task(_wait(stop))
    done, _ = await asyncio.wait(
        {stopped, *tasks}, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED
    )
    stopped.cancel()
    for task in done:
        task.result()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
