"""What owners decide on chain alone: what they leave with is kept free in the engine, what settlement cannot take backs nothing."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.exits import ExitActivities, ExitsSeen
    from workflows.steps import must_happen

ROUNDS_PER_RUN: Final = 500
WATCH: Final = timedelta(seconds=60)
"""How long one activity watches: it begins with a look at everything, so nothing is handed on."""
PATIENCE: Final = WATCH + timedelta(minutes=3)


@dataclass
class ExitsState:
    """All that one run hands to the next."""

    seen: ExitsSeen = field(default_factory=ExitsSeen)
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        lines = [
            f"- accounts that ask to leave: {self.seen.leaving}",
            f"- slots with a loss limit: {self.seen.limited}",
        ]
        if self.seen.refused:
            lines.append(f"- **not done now**: {self.seen.refused}")
        if self.seen.unbooked > 0:
            lines.append(
                f"- **waits**: {self.seen.unbooked} micro-USDC of claims are not booked; until then nothing is released or closed"
            )
        if self.seen.unbooked < 0:
            lines.append(
                f"- **waits**: the books have {-self.seen.unbooked} micro-USDC of claims more than the chain showed; while that stays "
                "nothing is released or closed"
            )
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class ExitsWorkflow:
    """Runs for ever, and watches. Claims come with the deposits: they are money, and booked in the order of the chain."""

    @workflow.init
    def __init__(self, state: ExitsState | None = None) -> None:
        self._state = state or ExitsState()

    @workflow.run
    async def run(self, state: ExitsState | None = None) -> None:
        for _ in range(ROUNDS_PER_RUN):
            self._show()
            self._state.seen = await must_happen(
                ExitActivities.watch_exits, WATCH.total_seconds(), on_trouble=self._trouble, within=PATIENCE
            )
            if workflow.info().is_continue_as_new_suggested():
                break
        workflow.continue_as_new(self._state)

    @workflow.query
    def state(self) -> ExitsState:
        return self._state

    def _trouble(self, sentence: str) -> None:
        self._state.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._state.text())
