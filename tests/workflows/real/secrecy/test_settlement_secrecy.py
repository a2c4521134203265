"""A whole settlement with everything captured: nothing of the operator's private key is anywhere but in its file, and of its
provider's key, which is in the node's address, nothing at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from fault_proxy import Fault

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
SPOILT_CALLS = 6
PATIENCE_S = 90


async def trouble(network: Any, until: Any) -> None:
    """Errors in the steps that sign, for so long that the worker logs them: no blockhash, then nothing that is sent is answered."""
    for method, fault in (
        ("getLatestBlockhash", Fault.GARBAGE),
        ("getLatestBlockhash", Fault.LIMITED),
        ("sendTransaction", Fault.GARBAGE),
        ("sendTransaction", Fault.LOSE_ANSWER),
    ):
        network.proxy.fail(method, fault, times=SPOILT_CALLS)

        async def spoilt() -> bool:
            return network.proxy.waiting() == 0

        await until(spoilt, PATIENCE_S)
    await network.settled(2)


async def histories(network: Any) -> bytes:
    """What Temporal keeps of every workflow, as its interface gives it."""
    found = [
        await network.client.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()
        async for one in network.client.list_workflows()
    ]
    assert len(found) > 5
    return (
        b"".join(event.SerializeToString() for history in found for event in history.events)
        + "".join(history.to_json() for history in found).encode()
    )


async def answers(network: Any) -> bytes:
    """Metrics of API and worker, and what anybody can ask the API for."""
    async with httpx.AsyncClient() as http:
        urls = [
            f"{network.api_url}{path}" for path in ("/metrics", "/ready", "/openapi.json", "/api/v1/escrow")
        ]
        urls.append(f"http://{network.settings['WORKER_METRICS_ADDRESS']}/metrics")
        pages = [await answered(http, url) for url in urls]
    return b"".join(pages)


async def answered(http: httpx.AsyncClient, url: str) -> bytes:
    """The page, once it is there: a busy machine answers 503 for a while."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = await http.get(url)
            if page.status_code == 200:
                return page.content
            assert page.status_code == 503
            await asyncio.sleep(0.1)


def rows(network: Any) -> bytes:
    """Every row of every table."""
    with psycopg.connect(network.settings["DATABASE_URL"]) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert len(tables) > 5
        return repr([connection.execute(f'select * from "{name}"').fetchall() for (name,) in tables]).encode()


async def test_the_operators_key_is_nowhere_but_in_its_file(network: Any, until: Any, shown: Any) -> None:
    directory: Path = network.directory
    key = directory / "keys" / "operator.json"
    raw = bytes(json.loads(key.read_text()))
    await network.settled(2)
    await trouble(network, until)
    captured = {
        "histories": await histories(network),
        "answers": await answers(network),
        "rows": await asyncio.to_thread(rows, network),
    }
    for process in (*network.agents, network.worker, network.projector, network.api):
        process.end()
    captured |= {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path != key
    }
    # What was captured is what was meant: the key's public half is in it, and frames of the worker that held the signer.
    public = str(network.operator.pubkey).encode()
    assert str(network.escrow.addresses.escrow).encode() in captured["answers"]
    assert b"temporal_" in captured["answers"]
    assert b"KeypairSigner(" + public in captured["worker.log"]
    assert b"ChainUnavailable" in captured["worker.log"]
    assert b"DEBUG" in captured["worker.log"]
    assert b"INFO" in captured["api.log"]
    assert {"worker.log", "api.log", "projector.log", "temporal.log", "temporal.db"} <= captured.keys()
    assert any(name.startswith("journal/") for name in captured)
    assert shown(raw, key.read_bytes()) == {"list of numbers"}
    leaks = {name: forms for name, data in captured.items() if (forms := shown(raw, data))}
    assert leaks == {}
    provider = network.settings["SOLANA_RPC_URL"].partition("=")[2].encode()
    assert provider
    assert b"429 Too Many Requests" in captured["worker.log"]
    assert [name for name, data in captured.items() if provider in data] == []
