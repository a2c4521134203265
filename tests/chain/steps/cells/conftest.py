"""A chain, a ledger and workers that come and go: what happens to every step that sends a transaction is tried on them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.deltas import encode_deltas
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED
from core import events as e
from core.pages import plan_pages
from crash_scene import AGENT, BATCH, DELTAS, DEPOSIT, LOSER, SLOT_MS, STAKE, WINNER, Scene
from fault_proxy import FaultProxy
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.settlement import AccountAtCut, Settlement
from nearby_chain import NearbyChain

HURRIED_SLOT_MS = 10
"""While what a cell begins with is landed."""
HASTE = {"exit_delay": 1, "limit_delay": 1, "timelock": 2}
"""A proposal that is ripe within a test."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every step of the test's class, each marked as a cell of the matrix; and of each every lie, where the test tells one."""
    fault = getattr(metafunc.function, "fault", None)
    if fault is None:
        return
    assert metafunc.cls is not None
    cells = [(step, pytest.mark.cell(row, fault)) for step, row in metafunc.cls.STEPS.items()]
    if "lie" in metafunc.fixturenames:
        told = [(step, lie, mark) for step, mark in cells for lie in metafunc.cls.lies_about(step)]
        metafunc.parametrize(
            ("step", "lie"), [pytest.param(step, lie, marks=mark) for step, lie, mark in told]
        )
    else:
        metafunc.parametrize("step", [pytest.param(step, marks=mark) for step, mark in cells])


@pytest.fixture
def process(tmp_path: Path, finality: int) -> Iterator[NearbyChain]:
    """Not started: of a chain in a process of its own, most of what a cell costs would be the start and the waiting for slots."""
    chain = NearbyChain(tmp_path / "chain", slot_ms=HURRIED_SLOT_MS, finality=finality)
    yield chain
    chain.kill()


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, **HASTE)


@pytest.fixture
async def scene(world: Any, postgres_url: str, door_server: Any) -> AsyncIterator[Scene]:
    owner, newcomer, build = await world.agent(AGENT, DEPOSIT), world.node.funded(1), world.escrow
    await world.land(build.build_create_page(world.operator, 1))
    await world.agent(WINNER, 0, page=1)
    loser = await world.agent(LOSER, STAKE, page=1)
    await world.land(build.build_deposit(loser, 1, 1, STAKE))
    await world.land(build.build_deposit(owner, 0, 2, DEPOSIT), FINALIZED)
    projector = Projector(postgres_url)
    projector.apply([(1, e.SettlementCut(2, BATCH, ((1, 600_000),)))])
    projector.close()
    pool = open_pool(postgres_url)
    plans = [(plan, encode_deltas(plan.deltas)) for plan in plan_pages(DELTAS)]
    had = {1: 0, AGENT: DEPOSIT, WINNER: 0, LOSER: STAKE}
    accounts = [
        AccountAtCut(account, balance, balance + delta)
        for (account, balance), (_, _, delta) in zip(had.items(), DELTAS, strict=True)
    ]
    await Settlement(pool).store_batch(BATCH, 2, 0, 1, accounts, plans)
    async with FaultProxy(world.node.url) as proxy:
        scene = Scene(world, proxy, pool, door_server, owner, newcomer)
        scene.chain.slot_ms = SLOT_MS
        yield scene
        for worker in scene.workers:
            await worker.close()
    await pool.dispose()
