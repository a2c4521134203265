"""Under which name Temporal keeps what stops a step: really dead parts, in the clear and encrypted."""

import asyncio

import pytest
from solana.rpc.async_api import AsyncClient
from sqlalchemy import text

from chain.rpc import ask
from ledger.database import open_pool
from workflows.deposits import DepositsWorkflow
from workflows.failures import stable_code

NOWHERE = "127.0.0.1:9"


async def dead_node(*_: object) -> None:
    await ask(AsyncClient(f"http://{NOWHERE}").get_slot())


async def dead_database(*_: object) -> None:
    pool = open_pool(f"postgresql://nobody@{NOWHERE}/none")
    try:
        async with pool.connect() as connection:
            await connection.execute(text("select 1"))
    finally:
        await pool.dispose()


async def bug(*_: object) -> None:
    raise KeyError("nobody expected this")


async def hangs(*_: object) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("encrypted", [False, True], ids=["in the clear", "encrypted"])
@pytest.mark.parametrize(
    ("step", "type"),
    [(dead_node, "chain_unavailable"), (dead_database, "ledger_unavailable"), (bug, "KeyError")],
)
async def test_what_stops_a_step_has_its_code(
    client_with, working_with, script_of, keys, encrypted, step, type
):
    client = await client_with(keys("2026-a") if encrypted else None)
    script = script_of(watch_deposits=step, watch_unbound=hangs, take_up_withdrawals=hangs)
    async with working_with(client, script):
        handle = await client.start_workflow(DepositsWorkflow.run, id="deposits", task_queue="test")
        while not (trouble := (await handle.query(DepositsWorkflow.state)).deposits_trouble):
            await asyncio.sleep(0.05)
    assert f": {type}: " in trouble


async def test_a_failed_statement_does_not_show_what_it_was_given(postgres_url):
    pool = open_pool(postgres_url)
    async with pool.connect() as connection:
        with pytest.raises(Exception, match="does not exist") as failed:
            await connection.execute(text("select :secret from nothing"), {"secret": "hunter2"})
    await pool.dispose()
    assert "hunter2" not in str(failed.value)
    assert stable_code(failed.value) == ""
