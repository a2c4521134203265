"""How long the history of the settlement workflow is after 1,000 batches: it lives for ever, so it must not grow for ever.

    python -m bench.settlement_history [BATCHES]

Prints a Markdown section; what it is doing goes to the standard error.
"""

import asyncio
import os
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from typing import Final

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.reconciliation import Reconciliation
from activities.settlement import BatchPlan, BatchReceipt, PageOf, SealOf, StatusOf, Work
from bench.report import table
from workflows.batch import BatchWorkflow
from workflows.settlement import ROUNDS_PER_RUN, SettlementWorkflow
from workflows.steps import BATCH

BATCHES: Final = 1_000
PAGES: Final = 10
QUEUE: Final = "bench"
EVENTS_MAX: Final = 51_200
"""Temporal ends a workflow whose history has more."""
TELL_EVERY: Final = 100
"""Batches between two lines of what it is doing."""


class Steps:
    """The worker's steps, done at once: only what they leave in the history is measured. There is always a batch to settle."""

    def __init__(self) -> None:
        self._batch = 0

    @activity.defn
    async def next_batch(self) -> Work:
        self._batch += 1
        return Work(unfinished=0, due=self._batch)

    @activity.defn
    async def cut_batch(self, batch: int) -> BatchPlan:
        pages = list(range(PAGES))
        return BatchPlan(batch, pages[::2], pages[1::2], deltas=1_000, fills=500, root="ab" * 32)

    @activity.defn
    async def open_batch(self, batch: int) -> int:
        return batch

    @activity.defn
    async def settle_page(self, of: PageOf) -> None:
        pass

    @activity.defn
    async def seal_batch(self, of: SealOf) -> None:
        pass

    @activity.defn
    async def publish_status(self, of: StatusOf) -> None:
        pass

    @activity.defn
    async def batch_receipt(self, batch: int) -> BatchReceipt:
        return BatchReceipt(batch, PAGES, 1_000, 500, 60_000, "ab" * 32, "5" * 88)

    @activity.defn
    async def reconcile(self, batch: int) -> Reconciliation:
        held = 10**13
        return Reconciliation(
            batch=batch,
            why="",
            vault=held,
            pages_total=held,
            clearing=0,
            deposits=held,
            withdrawals=0,
            engine_deposits=held,
            engine_withdrawals=0,
            reserved=0,
        )


async def runs(client: Client, workflow_id: str) -> AsyncIterator[tuple[int, int]]:
    """Events and bytes of every run of a workflow, the newest first."""
    run = (await client.get_workflow_handle(workflow_id).describe()).run_id
    while run:
        history = await client.get_workflow_handle(workflow_id, run_id=run).fetch_history()
        events = history.events
        yield len(events), sum(event.ByteSize() for event in events)
        run = events[0].workflow_execution_started_event_attributes.continued_execution_run_id


async def settle(client: Client, batches: int) -> None:
    handle = await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue=QUEUE)
    for number in range(batches):
        await handle.execute_update(SettlementWorkflow.settle_now)
        if number % TELL_EVERY == 0:
            print(f"  {time.strftime('%H:%M:%S')} batch {number + 1:,}", file=sys.stderr, flush=True)


async def measured(batches: int) -> list[tuple[str, ...]]:
    temporal = os.path.join(sysconfig.get_path("scripts"), "temporal")
    steps = Steps()
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=temporal, search_attributes=[BATCH]
        ) as environment,
        Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=[SettlementWorkflow, BatchWorkflow],
            activities=[
                steps.next_batch,
                steps.cut_batch,
                steps.open_batch,
                steps.settle_page,
                steps.seal_batch,
                steps.publish_status,
                steps.batch_receipt,
                steps.reconcile,
            ],
        ),
    ):
        await settle(environment.client, batches)
        every = [run async for run in runs(environment.client, "settlement")]
        batch = [run async for run in runs(environment.client, "batch-1")]
    return [
        ("runs of `settlement`", f"{len(every):,}", ""),
        ("its present run", *(f"{figure:,}" for figure in every[0])),
        ("its longest run", *(f"{max(figures):,}" for figures in zip(*every, strict=True))),
        ("all its runs", *(f"{sum(figures):,}" for figures in zip(*every, strict=True))),
        (f"`batch-1`, {PAGES} pages", *(f"{figure:,}" for figure in batch[0])),
    ]


def section(batches: int) -> str:
    rows = asyncio.run(measured(batches))
    about = f"""\
The workflows on a real Temporal server with steps that are done at once, since only what they leave behind counts here: {batches:,}
batches of {PAGES} pages, each asked for with `settle_now`. The entity begins a new run after {ROUNDS_PER_RUN} rounds, or when the
server suggests it, so its history is bounded whatever the number of batches; Temporal's own limit is {EVENTS_MAX:,} events."""
    heads = (f"after {batches:,} batches", "events", "bytes")
    return "\n\n".join(("## History of the settlement workflow", about, table(heads, rows)))


if __name__ == "__main__":
    print(section(int(sys.argv[1]) if sys.argv[1:] else BATCHES))
    sys.stdout.flush()
    # The runtime under the workflow sandbox sometimes crashes while the interpreter takes it down: nothing is left to do there.
    os._exit(0)
