"""A cut while settlement is held: the step says so, stores nothing, and cuts the same batch once it goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from solana.rpc.async_api import AsyncClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.engine_door import EngineDoor
from activities.landing import Lander
from activities.settlement import BatchPlan, SettlementActivities
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.settlement import Settlement
from matcher import commands as c
from matcher.tail import Tail


@pytest.fixture
async def ledger(exchange: Any, postgres_url: str) -> AsyncIterator[Settlement]:
    """Follows the exchange's journal."""
    tail, projector, pool = Tail(exchange.journal, 0), Projector(postgres_url), open_pool(postgres_url)

    async def follow() -> None:
        while True:
            if found := tail.read():
                projector.apply(found)
            await asyncio.sleep(0.01)

    following = asyncio.create_task(follow())
    yield Settlement(pool)
    following.cancel()
    await asyncio.wait([following])
    tail.close()
    projector.close()
    await pool.dispose()


@pytest.fixture
async def door(exchange: Any) -> AsyncIterator[EngineDoor]:
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    yield door
    await door.close()


@pytest.fixture
async def steps(door: EngineDoor, ledger: Settlement) -> AsyncIterator[SettlementActivities]:
    """With a node that does not answer: a cut needs none."""
    client, nobody = AsyncClient("http://127.0.0.1:1"), Pubkey.default()
    escrow = EscrowClient(client, nobody, nobody, nobody)
    pool = ledger._engine
    lander, operator = Lander(ledger, escrow), KeypairSigner(Keypair())
    yield SettlementActivities(door, ledger, Queries(pool), escrow, lander, operator)
    await client.close()


async def test_a_cut_that_meets_a_hold_stores_nothing_and_is_made_under_its_number_afterwards(
    exchange: Any, door: EngineDoor, ledger: Settlement, steps: SettlementActivities
) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    order = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
    done = await exchange.http.post("/api/v1/requests", json=order, headers=trader.headers)
    assert done.status_code == 200, done.text
    run = ActivityEnvironment().run
    assert (await run(steps.next_batch)).due == 1
    await door.command(c.HoldSettlement(True, why="between the look and the cut"))
    for _ in range(2):
        assert await run(steps.cut_batch, 1) == BatchPlan(1, [], [], deltas=0, fills=0, root="", held=True)
    assert await ledger.load_batch(1) is None
    assert (await run(steps.next_batch)).held == "between the look and the cut"
    await door.command(c.HoldSettlement(False, why="it was looked at"))
    assert (await run(steps.next_batch)).due == 1
    plan = await run(steps.cut_batch, 1)
    assert (plan.batch, plan.fills, plan.held) == (1, 1, False)
    stored = await ledger.load_batch(1)
    assert stored is not None
    assert stored.root.hex() == plan.root
    await maker.socket.close()


async def test_nothing_is_settled_with_a_ledger_that_has_more_than_the_journal(
    exchange: Any, postgres_url: str, steps: SettlementActivities
) -> None:
    assert (await ActivityEnvironment().run(steps.next_batch)).unfinished == 0
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update cursor set sequence = sequence + 1000")
    with pytest.raises(ApplicationError, match="of a journal that ends at") as refused:
        await ActivityEnvironment().run(steps.next_batch)
    assert refused.value.type == "ledger_ahead"
