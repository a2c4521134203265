"""Another key for the operator: settlement is held when the proposal is ripe, and goes on when a worker signs with the new key."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import ReconciliationActivities
    from activities.rotation import ExecuteOf, KeySeen, ProposalSeen, RotationActivities
    from activities.schedules import ScheduleActivities
    from workflows.reconciliation import BETWEEN_BATCHES
    from workflows.steps import Result, must_happen

ROTATION_ID: Final = "operator-rotation"
"""Workflow id: there is one at a time."""
LOOK_AT_BATCH: Final = timedelta(seconds=5)
LOOK_AT_PROPOSAL: Final = timedelta(minutes=1)
LOOK_AT_TIMELOCK: Final = timedelta(hours=1)
"""A proposal that is cancelled meanwhile is noticed at the next look."""
ASK: Final = timedelta(seconds=30)
"""How long a person waits to be told whether the key is right."""


class Stage(StrEnum):
    PROPOSAL = "waiting for the admin's proposal"
    TIMELOCK = "waiting for the timelock"
    BATCH = "settlement is held, the last batch is being finished"
    EXECUTING = "putting the proposal into effect"
    KEY = "waiting for the workers' new key"
    RESUMING = "comparing, and letting settlement go on"
    DONE = "done"
    ABANDONED = "abandoned"


WAITS_FOR: Final = {
    Stage.PROPOSAL: "`perpdex escrow propose operator {key} --admin ...`, by the admin",
    Stage.KEY: "stop every worker, set OPERATOR_KEY to where {key} is kept, start them, then `perpdex escrow rotation key-changed`",
}
"""What a person has to do at a stage."""


@dataclass
class RotationState:
    """`operator` is the new public key in base58; `why` the reason under which settlement is held.

    `stays_held` says why settlement was not resumed at the end; empty when it was.
    """

    operator: str
    why: str
    stage: Stage = Stage.PROPOSAL
    proposal: ProposalSeen | None = None
    batch: str = ""
    key: KeySeen | None = None
    stays_held: str = ""
    trouble: str = ""

    def waits_for(self) -> str:
        """What a person has to do now; empty while nobody is waited for."""
        if self.stage == Stage.TIMELOCK and self.proposal is not None and self.proposal.also:
            return (
                f"the proposal changes {', '.join(self.proposal.also)} too: "
                "who wants that runs `perpdex escrow execute` when the timelock is over"
            )
        return WAITS_FOR.get(self.stage, "").format(key=self.operator)

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        lines = [f"**{self.stage}**", f"- new operator: `{self.operator}`"]
        if asked := self.waits_for():
            lines.append(f"- **to do**: {asked}")
        if self.proposal is not None and self.proposal.number:
            ready = datetime.fromtimestamp(self.proposal.ready_at, UTC).isoformat(sep=" ")
            lines.append(f"- proposal {self.proposal.number} can be executed from {ready} on")
        if self.stage == Stage.BATCH and self.batch:
            lines.append(f"- {self.batch}")
        if self.key is not None:
            lines.append(f"- the worker's key: {self.key.lacks() or 'is the operator and signs'}")
        if self.stays_held:
            lines.append(f"- **settlement stays held**: {self.stays_held}; `perpdex settlement resume`")
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class RotationWorkflow:
    """Replaces the key that the escrow knows as its operator, and sees that the workers sign with it.

    Settlement is held only once the timelock is over. Every step looks before it does something, so a run that has grown long
    starts over from the first one. Until the proposal is put into effect it may be abandoned.
    """

    @workflow.init
    def __init__(self, state: RotationState) -> None:
        self._state = state
        self._abandoned = False

    @workflow.run
    async def run(self, state: RotationState) -> RotationState:
        while await self._proposed() and not await self._replaced():
            # What was ripe is gone again: the next proposal may take days, and settlement goes on until then.
            await self._resume()
        if not self._abandoned:
            await self._key_fits()
        await self._resume()
        self._to(Stage.ABANDONED if self._abandoned else Stage.DONE)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state

    @workflow.query
    def state(self) -> RotationState:
        return self._state

    @workflow.update
    async def key_changed(self) -> RotationState:
        """Every worker was started with the new key: it is tried, and settlement goes on when it fits.

        Fails with type `not_waiting` at any other stage.
        """
        self._state.key = await workflow.execute_activity_method(
            RotationActivities.check_key, start_to_close_timeout=ASK, schedule_to_close_timeout=ASK
        )
        self._show()
        return self._state

    @key_changed.validator
    def _check_key_changed(self) -> None:
        if self._state.stage != Stage.KEY:
            raise ApplicationError(f"The rotation is {self._state.stage}.", type="not_waiting")

    @workflow.update
    def abandon(self) -> RotationState:
        """End it with the old key; a proposal that is pending stays until the admin cancels it. Fails with type `too_late` once the
        proposal is being put into effect."""
        self._abandoned = True
        return self._state

    @abandon.validator
    def _check_abandon(self) -> None:
        if self._state.stage not in (Stage.PROPOSAL, Stage.TIMELOCK, Stage.BATCH):
            raise ApplicationError(f"The rotation is {self._state.stage}.", type="too_late")

    async def _proposed(self) -> bool:
        """Wait until the proposal can be executed, or somebody has; False when the rotation is abandoned."""
        while not self._abandoned:
            seen = await self._step(RotationActivities.look_for_proposal, self._state.operator)
            self._state.proposal = seen
            if seen.operator == self._state.operator:
                return True
            self._to(Stage.TIMELOCK if seen.number else Stage.PROPOSAL)
            if seen.number and not seen.ready_in and not seen.also:
                return not self._abandoned
            ripe = timedelta(seconds=seen.ready_in + 1)
            await self._wait(min(ripe, LOOK_AT_TIMELOCK) if seen.ready_in else LOOK_AT_PROPOSAL)
        return False

    async def _replaced(self) -> bool:
        """Hold settlement, finish what is cut, put the proposal into effect; False when that cannot be any more."""
        state = self._state
        self._to(Stage.BATCH)
        await self._step(RotationActivities.hold_for_rotation, state.why)
        assert state.proposal is not None
        if state.proposal.operator == state.operator:
            # Somebody was faster: the old key can finish nothing any more, the new one will. Who abandoned meanwhile came too late:
            # were settlement let go on, every step would be refused until the workers have the new key.
            if self._abandoned and workflow.patched("executed-is-not-abandoned"):
                self._abandoned = False
            return True
        while not self._abandoned:
            state.batch = await self._step(RotationActivities.batch_under_way)
            if not state.batch:
                break
            await self._wait(LOOK_AT_BATCH)
        if self._abandoned:
            if workflow.patched("executed-between-looks"):
                # Between two looks at the batch somebody may have executed it: who abandons then is too late as well.
                state.proposal = await self._step(RotationActivities.look_for_proposal, state.operator)
                self._abandoned = state.proposal.operator != state.operator
            return True
        self._to(Stage.EXECUTING)
        of = ExecuteOf(state.operator, state.proposal.number)
        return await self._step(RotationActivities.execute_proposal, of)

    async def _key_fits(self) -> None:
        """Wait until a worker was seen to sign with the new key."""
        self._to(Stage.KEY)
        await workflow.wait_condition(lambda: self._state.key is not None and not self._state.key.lacks())

    async def _resume(self) -> None:
        """Let settlement go on, unless it was stopped for a reason of its own, or the sides do not agree."""
        state = self._state
        if not self._abandoned:
            self._to(Stage.RESUMING)
        state.stays_held = await self._step(ScheduleActivities.settlement_paused)
        if not state.stays_held:
            result = await self._step(ReconciliationActivities.reconcile, BETWEEN_BATCHES)
            state.stays_held = "" if result.balanced else result.sentence()
        if not state.stays_held:
            state.stays_held = await self._step(RotationActivities.release_after_rotation, state.why)
        if not state.stays_held:
            await self._step(ScheduleActivities.resume_settlement)

    async def _wait(self, long: timedelta) -> None:
        long_enough = workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished()
        if long_enough and not self._abandoned:
            workflow.continue_as_new(self._state)
        self._show()
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._abandoned, timeout=long)

    async def _step(self, step: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
        return await must_happen(step, *arguments, on_trouble=self._trouble)

    def _to(self, stage: Stage) -> None:
        self._state.stage = stage
        # In every list of workflows, even while no worker runs, which is just when a person is waited for.
        workflow.upsert_memo({"to_do": self._state.waits_for() or None})
        self._show()

    def _trouble(self, sentence: str) -> None:
        self._state.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._state.text())
