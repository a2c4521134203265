"""One settlement batch, from the cut to finality on chain."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.settlement import (
        BatchPlan,
        BatchReceipt,
        PageOf,
        SealOf,
        SettlementActivities,
        StatusOf,
    )
    from core.batches import BatchStatus
    from workflows.steps import BATCH, Result, must_happen

WINDOW: Final = 16
"""Pages on their way to the chain at one time."""


@dataclass
class BatchProgress:
    """What the Temporal UI shows of a batch. `trouble` says of every step that is being tried again why, and since when."""

    batch: int
    chain_batch: int = 0
    status: str = BatchStatus.MATCHED.name.lower()
    step: str = "cut"
    pages: int = 0
    confirmed: list[int] = field(default_factory=list)
    settling: list[int] = field(default_factory=list)
    deltas: int = 0
    fills: int = 0
    root: str = ""
    trouble: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        lines = [
            f"**Batch {self.batch}** is {self.status}, at step *{self.step}*",
            f"- number on chain: {self.chain_batch or 'none yet'}",
            f"- pages confirmed: {len(self.confirmed)} of {self.pages}",
            f"- accounts that move: {self.deltas}; fills: {self.fills}",
            f"- root: `{self.root}`",
        ]
        if self.settling:
            lines.append(f"- pages on their way: {', '.join(map(str, self.settling))}")
        lines += [f"- **trouble**: {sentence}" for sentence in self.trouble.values()]
        return "\n".join(lines)


@workflow.defn
class BatchWorkflow:
    """Cut, open, settle every page exactly once, seal, wait for finality. Without a result, it was held before anything was cut.

    It never fails and never gives up: a step that cannot be done is reported and tried again, which holds up later batches and
    nothing else. Every step is idempotent, so a run that has grown long starts over from the first one, and skips the pages that
    the run before it saw `confirmed`. One that is taken up anew skips none.
    """

    @workflow.init
    def __init__(self, batch: int, confirmed: list[int] | None = None) -> None:
        self._progress = BatchProgress(batch, confirmed=confirmed or [])
        self._anew = False

    @workflow.run
    async def run(self, batch: int, confirmed: list[int] | None = None) -> BatchReceipt | None:
        workflow.upsert_search_attributes([BATCH.value_set(str(batch))])
        settling = asyncio.create_task(self._settled(batch))
        await workflow.wait_condition(lambda: settling.done() or self._anew)
        if not settling.done():
            workflow.continue_as_new(args=[batch, []])
        return settling.result()

    @workflow.signal
    def take_up_anew(self) -> None:
        """An operator: somebody else has the batch's number on chain, so begin with the first step, as if nothing of it had been seen.

        What waits for the batch goes on waiting for it.
        """
        self._anew = True

    @workflow.query
    def progress(self) -> BatchProgress:
        return self._progress

    async def _settled(self, batch: int) -> BatchReceipt | None:
        plan = await self._step("cut", SettlementActivities.cut_batch, batch)
        if plan.held:
            return None
        self._planned(plan)
        if self._progress.pages:
            await self._land(batch, plan)
        await self._reached(BatchStatus.FINAL)
        return await self._step("receipt", SettlementActivities.batch_receipt, batch)

    async def _land(self, batch: int, plan: BatchPlan) -> None:
        number = await self._step("open", SettlementActivities.open_batch, batch)
        self._progress.chain_batch = number
        await self._reached(BatchStatus.SUBMITTED)
        # Net-debit pages fill the clearing balance that the others draw on: it may never go below zero.
        await self._settle(PageOf(batch, number, page) for page in plan.debit_pages)
        await self._settle(PageOf(batch, number, page) for page in plan.credit_pages)
        await self._reached(BatchStatus.CONFIRMED)
        await self._step("seal", SettlementActivities.seal_batch, SealOf(batch, number))

    async def _settle(self, pages: Iterable[PageOf]) -> None:
        progress = self._progress
        window = asyncio.Semaphore(WINDOW)

        async def settle(of: PageOf) -> None:
            async with window:
                progress.settling.append(of.page)
                await self._step(f"settle page {of.page}", SettlementActivities.settle_page, of)
                progress.settling.remove(of.page)
                progress.confirmed.append(of.page)

        await asyncio.gather(*(settle(of) for of in pages if of.page not in progress.confirmed))

    async def _reached(self, status: BatchStatus) -> None:
        """Make a status public before going on: what agents hear is never ahead of the chain."""
        of = StatusOf(self._progress.batch, int(status))
        await self._step("publish", SettlementActivities.publish_status, of)
        self._progress.status = status.name.lower()
        self._show()

    async def _step(self, name: str, step: Callable[..., Awaitable[Result]], argument: Any) -> Result:
        def on_trouble(sentence: str) -> None:
            if sentence:
                self._renew_when_long()
                self._progress.trouble[name] = sentence
            else:
                self._progress.trouble.pop(name, None)
            self._show()

        self._renew_when_long()
        self._progress.step = name
        self._show()
        return await must_happen(step, argument, on_trouble=on_trouble)

    def _planned(self, plan: BatchPlan) -> None:
        self._progress.pages = len(plan.debit_pages) + len(plan.credit_pages)
        self._progress.deltas, self._progress.fills, self._progress.root = plan.deltas, plan.fills, plan.root

    def _renew_when_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(args=[self._progress.batch, self._progress.confirmed])

    def _show(self) -> None:
        workflow.set_current_details(self._progress.text())
