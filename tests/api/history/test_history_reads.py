"""The edge over the real ledger: a projector follows the journal into PostgreSQL, and agents read what left memory."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from api.history import History
from api.streams import HistoryUnavailable
from ledger.database import open_pool
from ledger.queries import Queries
from matcher import commands as c


async def test_resume_joins_ledger_and_memory(projected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.streams.KEPT_PER_ACCOUNT", 3)
    agent = await projected.agent()
    for number in range(30):
        await projected.engine.ask(c.CreditDeposit(agent.account, 1, f"a{number}"))
    await agent.open(resume_from=0)
    numbers = [(await agent.receive())["n"] for _ in range(33)]
    assert numbers == list(range(1, 34))


async def test_fills_and_batches_are_read_from_the_ledger(projected: Any, caught_up: Any) -> None:
    await projected.maker()
    trader = await projected.agent("trader")
    order = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
    await projected.http.post("/api/v1/requests", json=order, headers=trader.headers)
    await caught_up(projected)
    (fill,) = (await projected.http.get("/api/v1/account/fills", headers=trader.headers)).json()["fills"]
    assert (fill["role"], fill["fee"], fill["status"]) == ("taker", "15.002500", "matched")
    assert (await projected.http.get("/api/v1/batches")).json() == {"batches": []}


async def test_no_database_is_an_expected_error(new_exchange: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    pool = open_pool(f"postgresql://nobody@127.0.0.1:{port}/none")
    history = History(Queries(pool))
    with pytest.raises(HistoryUnavailable):
        await history.projected()
    exchange = await new_exchange(reads=history)
    answer = await exchange.http.get("/api/v1/batches")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "history_unavailable")
    await pool.dispose()


async def test_a_pruned_journal_still_starts(new_exchange: Any, tmp_path: Path) -> None:
    exchange = await new_exchange()
    agent = await exchange.agent()
    await exchange.stop()
    for segment in exchange.journal.glob("*.journal"):
        shutil.move(segment, tmp_path)
    await exchange.start()
    await agent.open()
    assert agent.ready["head"] == 3
