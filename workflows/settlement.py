"""The settlement entity: one batch after another, each reconciled with the chain before the next may begin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import Reconciliation, ReconciliationActivities
    from activities.schedules import ScheduleActivities
    from activities.settlement import BatchReceipt, SettlementActivities
    from workflows.batch import BatchWorkflow
    from workflows.steps import BATCH, Result, must_happen

ROUNDS_PER_RUN: Final = 500
"""Rounds after which the workflow starts over with its state, to keep its history short."""
RUN_ENDED: Final = "settlement_run_ended"
"""Type of the failure of a call whose round is left to the next run."""


def batch_workflow_id(batch: int) -> str:
    return f"batch-{batch}"


@dataclass
class SettlementState:
    """All that one run hands to the next. `halted` says why no batch may be cut until an operator resumes.

    `started` numbers rounds, `finished` is the last whole one; a round is one look at whether there is something to settle.
    """

    due: bool = True
    halted: str = ""
    started: int = 0
    finished: int = 0
    batch: int = 0
    settled: int = 0
    last: BatchReceipt | None = None
    reconciliation: Reconciliation | None = None
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        doing = f"settling batch {self.batch}" if self.batch else "waiting for the next cut"
        lines = [f"**{'Halted: ' + self.halted if self.halted else doing}**"]
        if self.last is not None:
            lines.append(
                f"- last final batch: {self.last.batch} ({self.last.pages} pages, {self.last.deltas} accounts, "
                f"{self.last.fills} fills, {self.last.lamports} lamports)"
            )
        if self.reconciliation is not None:
            lines.append(f"- {self.reconciliation.sentence()}")
        lines.append(f"- batches settled: {self.settled}")
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class SettlementWorkflow:
    """Runs for ever: woken by a Schedule, it finishes what is unfinished, else cuts when there is something to settle.

    After every round vault, pages and engine are compared. A difference halts settlement and pauses the Schedule until an operator
    sends `resume`; trading goes on.
    """

    @workflow.init
    def __init__(self, state: SettlementState | None = None) -> None:
        self._state = state or SettlementState()
        self._resumes = 0
        self._rounds = 0
        self._ending = False

    @workflow.run
    async def run(self, state: SettlementState | None = None) -> None:
        state = self._state
        if state.halted:
            # A run starts with the memo of the first one.
            self._halt(state.halted)
        while True:
            self._show()
            await workflow.wait_condition(lambda: self._long_enough() or (state.due and not state.halted))
            if self._long_enough():
                await self._end()
            state.due = False
            state.started += 1
            if await self._round():
                state.finished = state.started
            self._rounds += 1

    def _long_enough(self) -> bool:
        """A halted workflow has no rounds, but signals and refused callers lengthen its history as well."""
        return self._rounds >= ROUNDS_PER_RUN or workflow.info().is_continue_as_new_suggested()

    async def _end(self) -> NoReturn:
        """Hand over to the next run between two rounds.

        No call outlives its run, and callers who never pause would keep this one for ever by waiting for one round more. So a
        caller whose round is done has its answer, and any other is sent to the next run.
        """
        self._ending = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._state)

    @workflow.signal
    def cut_now(self) -> None:
        """There may be something to settle: what the Schedule sends. Any number before a round counts once."""
        self._state.due = True

    @workflow.signal
    def halt(self, why: str) -> None:
        """A comparison between the rounds found a difference: what is cut is finished, and nothing more is cut."""
        self._halt(self._state.halted or why)

    @workflow.signal
    def resume(self) -> None:
        """An operator has explained the difference: compare again and go on. What a round under way saw before this halts nothing."""
        self._resumes += 1
        self._halt("")
        self._state.due = True

    @workflow.update
    async def settle_now(self) -> BatchReceipt | None:
        """Have a whole round begin and end after this call; its caller then knows that everything before it is final.

        Returns the last final batch. Fails with type `settlement_halted` while settlement is halted, and with `settlement_run_ended`
        when the workflow starts over before that round: ask again, as `workflows.settling` does.
        """
        state = self._state
        state.due = True
        wanted = state.started + 1
        await workflow.wait_condition(lambda: state.finished >= wanted or bool(state.halted) or self._ending)
        if state.halted:
            raise ApplicationError(state.halted, type="settlement_halted", non_retryable=True)
        if state.finished < wanted:
            raise ApplicationError("The workflow starts over: ask again.", type=RUN_ENDED)
        return state.last

    @workflow.query
    def state(self) -> SettlementState:
        return self._state

    async def _round(self) -> bool:
        """Finish what an earlier run left, then cut if there is something to settle. Whether all of that is final and balanced."""
        resumes = self._resumes
        work = await self._step(SettlementActivities.next_batch)
        if work.unfinished:
            if not await self._settle(work.unfinished):
                return False
            # Each batch has its own comparison: what was lost with the first would else be hidden by the second, or doubled.
            if workflow.patched("compares-each-batch") and not await self._reconcile():
                return False
            work = await self._step(SettlementActivities.next_batch)
        if work.due and not await self._settle(work.due):
            return False
        if not await self._reconcile():
            return False
        if work.held and resumes == self._resumes:
            # The engine's journal remembers what this workflow may have forgotten: only an operator's command ends it.
            self._halt(work.held)
        return not work.held

    async def _reconcile(self) -> bool:
        last = self._state.last
        while True:
            resumes = self._resumes
            result = await self._step(ReconciliationActivities.reconcile, last.batch if last else 0)
            self._state.reconciliation = result
            if result.balanced or resumes == self._resumes:
                break
        if not result.balanced:
            self._halt(result.sentence())
            await self._step(ScheduleActivities.pause_settlement, result.sentence())
        return result.balanced

    async def _settle(self, batch: int) -> bool:
        """Run the batch's own workflow; whether it reached finality. One that an operator ended is taken up at the next round."""
        state = self._state
        state.batch = batch
        workflow.upsert_search_attributes([BATCH.value_set(str(batch))])
        self._show()
        try:
            receipt = await workflow.execute_child_workflow(
                BatchWorkflow.run,
                batch,
                id=batch_workflow_id(batch),
                memo={"batch": batch},
                static_summary=f"Settlement batch {batch}",
            )
        except ChildWorkflowError as error:
            self._trouble(f"{batch_workflow_id(batch)}: {error.cause or error}")
            return False
        finally:
            state.batch = 0
        if receipt is None:
            # It was held between the look and the cut: the next look says why.
            state.due = True
            return False
        state.last = receipt
        state.settled += 1
        self._trouble("")
        return True

    def _halt(self, why: str) -> None:
        """Halt, or go on when `why` is empty; the memo says so in every list of workflows, even while no worker runs."""
        self._state.halted = why
        workflow.upsert_memo({"halted": why or None})
        self._show()

    async def _step(self, step: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
        return await must_happen(step, *arguments, on_trouble=self._trouble)

    def _trouble(self, sentence: str) -> None:
        self._state.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._state.text())


@workflow.defn
class SettlementTickWorkflow:
    """What the Schedule starts: wakes the settlement entity, or starts it when it is not there."""

    @workflow.run
    async def run(self) -> None:
        await must_happen(ScheduleActivities.wake_settlement, on_trouble=workflow.set_current_details)
