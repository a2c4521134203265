"""The API's process by itself: what it does without the others, and what it says when it cannot start."""

import asyncio
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner

from api.open_files import LEAST, NEEDED
from cli.main import app, main
from core.events import MarketListed
from core.market import DEFAULT_MARKETS
from ledger.projector import Projector
from perpdex_sdk import Agent, Refused

MICRO = 1_000_000


async def funded(served: Any, name: str, key: Keypair | None = None, usdc: int = 10_000) -> Agent:
    agent = await Agent.connect(served.http, key or Keypair(), name)
    account = agent.account
    served.operate(type="BindSlot", account=account, page=0, slot=account - 14)
    served.operate(type="CreditDeposit", account=account, amount=usdc * MICRO, key=f"deposit {account}")
    return agent


async def test_it_starts_and_trades_without_temporal_and_a_database_and_killed_inside_a_liquidation_goes_on_with_it(
    serve: Any,
) -> None:
    """Nobody bids at first, so auctions in vain are all there is when the process is killed; with the next process somebody does."""
    served, key = await asyncio.to_thread(lambda: serve().wait()), Keypair()
    maker = await funded(served, "maker", key, 1_000_000)
    other, trader = await funded(served, "other", usdc=1_000_000), await funded(served, "trader")
    price = await index_of(served)
    for one in (maker, other):
        await one.quotes("BTC-PERP", [(str(price - 20), "10")], [(str(price), "10")], life_ms=60_000)
    await opens(served)
    size = f"{400_000 / price:.4f}"
    closed = await trader.request("BTC-PERP", "buy", size, str(price))
    assert (closed.outcome, closed.filled) == ("filled", size)
    with pytest.raises(Refused) as refused:
        await maker.rest.start_withdrawal("1", "w1", None)
    assert (refused.value.code, refused.value.retryable) == ("withdrawals_unavailable", True)
    for one in (maker, other):
        await one.quotes("BTC-PERP", [], [])
    # 2.5 % are left of what it holds, and from here on 2.8 % are too little.
    margin = [[[0, 55_556]]]
    served.operate(type="SetLimits", market=1, max_leverage=18, margin=margin, force=True, why="a test")
    async with asyncio.timeout(30):
        while trader.account not in going_on(served):
            await asyncio.sleep(0.05)
    served.process.kill()
    served.process.wait()
    for agent in (maker, other, trader):
        await agent.close()

    served = await asyncio.to_thread(lambda: serve().wait())
    assert going_on(served) == [trader.account]
    maker = await Agent.connect(served.http, key, "maker")
    try:
        async with asyncio.timeout(60):
            while going_on(served):
                price = await index_of(served)
                bids, asks = [(str(price - 10), "10")], [(str(price + 10), "10")]
                await maker.quotes("BTC-PERP", bids, asks, life_ms=10_000)
                await asyncio.sleep(0.2)
    finally:
        await maker.close()
    served.stop()
    journal = str(served.data / "journal")
    explained = CliRunner().invoke(app, ["explain", "liquidation", "1", "--journal", journal])
    assert (explained.exit_code, "DIFFERS" in explained.output) == (0, False), explained.output
    assert "auction" in explained.output


def going_on(served: Any) -> list[int]:
    token = (served.data / "keys" / "operator.token").read_text()
    answer = httpx.get(
        f"{served.http}/api/v1/operator/liquidations/going-on", headers={"Authorization": f"Bearer {token}"}
    )
    return list(answer.json()["going_on"])


async def index_of(served: Any) -> int:
    """In whole dollars."""
    async with httpx.AsyncClient(base_url=served.http) as http, asyncio.timeout(60):
        while (index := (await http.get("/api/v1/markets/BTC-PERP")).json()["index"]) is None:
            await asyncio.sleep(0.05)
    return round(float(index))


async def opens(served: Any) -> None:
    """Return when BTC-PERP takes what opens: with the first index after two makers stood."""
    async with httpx.AsyncClient(base_url=served.http) as http, asyncio.timeout(60):
        while (read := await http.get("/api/v1/markets/BTC-PERP")).status_code != 200 or read.json()[
            "only_reduces"
        ]:
            await asyncio.sleep(0.1)


async def test_agents_on_other_machines_are_told_where_to_connect(serve: Any) -> None:
    """Another address of the loopback network stands for the other machine: the default listens on 127.0.0.1 only."""
    served = await asyncio.to_thread(lambda: serve(API_HOST="0.0.0.0", PUBLIC_HOST="127.0.0.2").wait())
    agent = await Agent.connect(served.http.replace("127.0.0.1", "127.0.0.2"), Keypair(), "far away")
    try:
        async with httpx.AsyncClient(base_url=served.http) as http:
            status = (await http.get("/api/v1/status")).json()
        assert status["websocket"] == served.websocket.replace("127.0.0.1", "127.0.0.2")
        assert status["connections"] == 1
    finally:
        await agent.close()


LITTLE = "import resource, sys; from cli.main import main; sys.argv = ['perpdex', 'serve', 'api']; " + (
    "resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])); main()"
)
"""The API with a share of open files that is less than it may have connections."""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells what another process may open")
def test_it_takes_all_the_open_files_that_it_may_need(serve: Any) -> None:
    served = serve("-c", LITTLE).wait()
    assert resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)[0] == NEEDED


def refused(served: Any) -> str:
    """What it said as it ended: one sentence, and an exit code that says that it could not."""
    code, said = served.ended()
    assert code == 1, said
    assert "Traceback" not in said
    lines = [
        line for line in said.splitlines() if not line.startswith(("2", "\x1b["))
    ]  # without those of the log
    assert len(lines) == 1, said
    return str(lines[0])


def test_a_journal_has_one_writer(serve: Any) -> None:
    serve().wait()
    assert "another process writes the journal" in refused(serve())


def test_a_damaged_journal_is_named(serve: Any) -> None:
    served = serve().wait()
    served.process.kill()
    served.process.wait()
    (segment,) = (served.data / "journal").glob("*.journal")
    with segment.open("r+b") as file:
        file.seek(40)
        file.write(b"damage")
    said = refused(serve())
    assert str(segment) in said
    assert "Restore" in said


def test_a_ledger_of_another_journal_is_refused(serve: Any, postgres_url: str) -> None:
    serve().wait().stop()
    projector = Projector(postgres_url)
    projector.apply([(1, MarketListed(0, DEFAULT_MARKETS[0]))])
    projector.close()
    said = refused(serve("-m", "cli.main", "serve", "projector", DATABASE_URL=postgres_url))
    assert "they do not belong together" in said
    assert "DATABASE_URL" in said


def test_a_database_without_tables_is_refused(serve: Any, postgres: Any) -> None:
    said = refused(serve("-m", "cli.main", "serve", "projector", DATABASE_URL=postgres.url))
    assert "PostgreSQL cannot be used" in said


def test_the_worker_says_that_temporal_does_not_answer(serve: Any) -> None:
    said = refused(serve("worker.py"))
    assert "Temporal does not answer at 127.0.0.1:1" in said
    assert "TEMPORAL_ADDRESS" in said


def test_with_fewer_files_it_takes_fewer_connections_and_says_so(serve: Any) -> None:
    served = serve("-c", with_files("(1024, 4096)")).wait()
    said = served.log.read_text()
    assert "may have 4096 files open" in said
    assert "take 1120 HTTP connections, 1120 WebSockets" in said
    assert "ulimit -Hn" in said


def test_it_does_not_start_where_connections_could_use_up_the_files(serve: Any) -> None:
    said = refused(serve("-c", with_files(f"(1024, {LEAST - 1})")))
    assert f"need {LEAST} at least" in said
    assert "ulimit -Hn" in said


def with_files(limit: str) -> str:
    """A program: the API where the system gives a process so many open files."""
    return (
        "import resource, sys\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, {limit})\n"
        "sys.argv = ['perpdex', 'serve', 'api']\n"
        "from cli.main import main\n"
        "main()\n"
    )


WRONG = {
    "no database": ({"DATABASE_URL": ""}, "set DATABASE_URL"),
    "no url": ({"DATABASE_URL": "nonsense"}, "PostgreSQL cannot be used"),
    "no number": ({"API_PORT": "many"}, "API_PORT: Input should be a valid integer"),
    "no name": ({"API_HOST": "0.0.0.0"}, "PUBLIC_HOST must say"),
    "no websocket": (
        {"PUBLIC_WEBSOCKET_URL": "https://exchange.example"},
        "PUBLIC_WEBSOCKET_URL: String should",
    ),
    "no recording": ({"PRICE_RECORDING": "/nowhere"}, "/nowhere"),
    "no hand-overs": ({"PYTH_HAND_OVERS": "/nowhere", "PYTH_URL": "http://127.0.0.1:1"}, "/nowhere"),
    "open key": ({"OPERATOR_KEY": f"file:{__file__}"}, "chmod 600"),
    "taken port": ({"API_PORT": "{taken}"}, "in use"),
}

AT_ONCE = {"no database", "no url", "no number", "no name", "no websocket", "open key"}
"""Seen before the chain is asked, and before there is a journal."""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_set_wrong_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given, words = WRONG[name]
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "PYTH_URL": "", **given}
    monkeypatch.setattr(sys, "argv", ["perpdex", "serve", "api"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for variable, value in {**settings, "PERPDEX_DATA": str(tmp_path)}.items():
            monkeypatch.setenv(variable, value.format(taken=taken.getsockname()[1]))
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    logged, said = capfd.readouterr()
    assert words in said
    assert len(said.splitlines()) == 1
    assert (logged == "" and not (tmp_path / "journal").exists()) == (name in AT_ONCE)
