"""How long the history of the settlement workflow is after 1,000 batches: it lives for ever, so it must not grow for ever.

    python -m bench.settlement_history [BATCHES] [--keep DIRECTORY]

Prints a Markdown section; what it is doing goes to the standard error. With a directory the server keeps its database there: the same
command goes on after a run that was ended, once that run's server is gone as well, and a larger number of batches after one that was
finished.
"""

import argparse
import asyncio
import os
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from typing import Final

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.reconciliation import Reconciliation
from activities.settlement import BatchPlan, BatchReceipt, PageOf, SealOf, StatusOf, Work
from bench.report import table
from workflows.batch import BatchWorkflow
from workflows.settlement import ROUNDS_PER_RUN, SettlementWorkflow
from workflows.settling import settle_now
from workflows.steps import BATCH

BATCHES: Final = 1_000
PAGES: Final = 10
QUEUE: Final = "bench"
EVENTS_MAX: Final = 51_200
"""Temporal ends a workflow whose history has more."""
TELL_EVERY: Final = 100
"""Batches between two lines of what it is doing."""


class Steps:
    """The worker's steps, done at once: only what they leave in the history is measured. There is always a batch to settle.

    `begun` is the last batch that has a workflow.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.begun = 0

    async def count(self) -> None:
        """Go on from what the server has."""
        while await exists(self._client, f"batch-{self.begun + 1}"):
            self.begun += 1

    @activity.defn
    async def next_batch(self) -> Work:
        await self.count()
        return Work(unfinished=0, due=self.begun + 1)

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


async def exists(client: Client, workflow_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def runs(client: Client, workflow_id: str) -> AsyncIterator[tuple[int, int]]:
    """Events and bytes of every run of a workflow, the newest first."""
    run = (await client.get_workflow_handle(workflow_id).describe()).run_id
    while run:
        history = await client.get_workflow_handle(workflow_id, run_id=run).fetch_history()
        events = history.events
        yield len(events), sum(event.ByteSize() for event in events)
        run = events[0].workflow_execution_started_event_attributes.continued_execution_run_id


async def settle(client: Client, steps: Steps, batches: int) -> None:
    handle = await client.start_workflow(
        SettlementWorkflow.run,
        id="settlement",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await steps.count()
    told = steps.begun - TELL_EVERY
    while steps.begun < batches:
        await settle_now(handle)
        await steps.count()
        if steps.begun >= told + TELL_EVERY:
            told = steps.begun
            print(f"  {time.strftime('%H:%M:%S')} batch {told:,}", file=sys.stderr, flush=True)


async def measured(batches: int, keep: str | None) -> list[tuple[str, ...]]:
    temporal = os.path.join(sysconfig.get_path("scripts"), "temporal")
    if keep is not None:
        os.makedirs(keep, exist_ok=True)
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal,
        dev_server_database_filename=keep and os.path.join(keep, "temporal.db"),
        search_attributes=[BATCH],
    ) as environment:
        steps = Steps(environment.client)
        async with Worker(
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
        ):
            await settle(environment.client, steps, batches)
            every = [run async for run in runs(environment.client, "settlement")]
            batch = [run async for run in runs(environment.client, "batch-1")]
    return [
        ("runs of `settlement`", f"{len(every):,}", ""),
        ("its present run", *(f"{figure:,}" for figure in every[0])),
        ("its longest run", *(f"{max(figures):,}" for figures in zip(*every, strict=True))),
        ("all its runs", *(f"{sum(figures):,}" for figures in zip(*every, strict=True))),
        (f"`batch-1`, {PAGES} pages", *(f"{figure:,}" for figure in batch[0])),
    ]


def section(batches: int, keep: str | None) -> str:
    """Measure; the section in Markdown. `keep`: directory of the server's database."""
    rows = asyncio.run(measured(batches, keep))
    about = f"""\
The workflows on a real Temporal server with steps that are done at once, since only what they leave behind counts here: {batches:,}
batches of {PAGES} pages, each asked for with `settle_now`. The entity begins a new run after {ROUNDS_PER_RUN} rounds, or when the
server suggests it, so its history is bounded whatever the number of batches; Temporal's own limit is {EVENTS_MAX:,} events."""
    heads = (f"after {batches:,} batches", "events", "bytes")
    return "\n\n".join(("## History of the settlement workflow", about, table(heads, rows)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches", type=int, nargs="?", default=BATCHES)
    parser.add_argument("--keep", metavar="DIRECTORY", help="go on from what is in it, if there is something")
    given = parser.parse_args()
    print(section(given.batches, given.keep))
    sys.stdout.flush()
    # The runtime under the workflow sandbox sometimes crashes while the interpreter takes it down: nothing is left to do there.
    os._exit(0)
