"""The settlement entity starts over with a short history, however often and by however many it is asked to settle."""

import asyncio
import os
import sysconfig
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.reconciliation import Reconciliation
from activities.settlement import Work
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now
from workflows.steps import AGENT, BATCH, MARKET

LONG_HISTORY = 100
"""Events after which the server suggests that a workflow starts over."""
LONGEST = 150
"""Events of the longest run: what callers who arrive meanwhile, and the last round, add to a long history."""
RUNS = 4
CALLERS = 6


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Of a real Temporal server that finds a short history long."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=os.path.join(sysconfig.get_path("scripts"), "temporal"),
        data_converter=pydantic_data_converter,
        search_attributes=[BATCH, AGENT, MARKET],
        dev_server_log_level="error",
        dev_server_extra_args=[
            *("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={LONG_HISTORY}")
        ],
    ) as environment:
        yield environment.client


class Network:
    """Where there is never anything to settle, and what is compared agrees, or differs for `why`.

    Remembers its steps and the runs that it saw.
    """

    def __init__(self, client: Client, why: str = "") -> None:
        self._client = client
        self._why = why
        self.steps: list[str] = []
        self.runs: list[str] = []

    def look(self) -> Work:
        self.steps.append("look")
        return Work(unfinished=0, due=0)

    def compare(self, batch: int) -> Reconciliation:
        self.steps.append("compare")
        return Reconciliation(batch, self._why, 10, 10, 0, 10, 0, 10, 0, 0)

    def settlement(self, run: str | None = None) -> WorkflowHandle[SettlementWorkflow, None]:
        return self._client.get_workflow_handle_for(SettlementWorkflow.run, "settlement", run_id=run)

    async def enough(self) -> bool:
        """So many runs have been seen that all but the last are whole."""
        run = (await self.settlement().describe()).run_id
        if run not in self.runs:
            self.runs.append(run)
        return len(self.runs) == RUNS

    async def whole_runs(self) -> list[int]:
        """Their events."""
        return [len((await self.settlement(run).fetch_history()).events) for run in self.runs[:-1]]


async def ask_on(network: Network) -> None:
    """Ask again at once with every answer, and see that a whole round began and ended after the question."""
    while not await network.enough():
        asked = len(network.steps)
        await settle_now(network.settlement())
        since = network.steps[asked:]
        assert "compare" in since[since.index("look") :]


async def test_callers_that_never_pause_keep_no_run_for_ever(client, script_of, working):
    network = Network(client)
    async with working(script_of(next_batch=network.look, reconcile=network.compare)):
        await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue="test")
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(ask_on(network))
        assert max(await network.whole_runs()) < LONGEST
        state = await network.settlement().query(SettlementWorkflow.state)
    assert state.started == state.finished == network.steps.count("compare")


async def test_a_halted_workflow_starts_over_as_well_and_stays_halted(client, script_of, working):
    """It has no rounds, but everybody whom it refuses lengthens its history."""
    network = Network(client, why="vault_short")
    async with working(script_of(next_batch=network.look, reconcile=network.compare, pause_settlement=None)):
        await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue="test")
        while not await network.enough():
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await settle_now(network.settlement())
            assert refused.value.cause.type == "settlement_halted"
        assert max(await network.whole_runs()) < LONGEST
        # A query waits until the newest run has begun.
        halted = (await network.settlement().query(SettlementWorkflow.state)).halted
        assert halted.startswith("the vault holds less")
        assert halted == await (await network.settlement().describe()).memo_value("halted")
    assert network.steps == ["look", "compare"]
