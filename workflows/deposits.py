"""Money in: slots on chain for new accounts, and finalized deposits credited to the engine, each once; and no withdrawal forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.deposits import DepositActivities, DepositCursor
    from activities.open_withdrawals import OpenWithdrawalActivities
    from activities.slots import SlotActivities
    from workflows.steps import must_happen

ROUNDS_PER_RUN: Final = 200
WATCH: Final = timedelta(seconds=60)
"""How long one activity watches before it hands its cursor back."""
FORGOTTEN: Final = timedelta(minutes=20)
"""How long a withdrawal is open before it is seen to that somebody works on it: longer than one usually takes."""
PATIENCE: Final = WATCH + timedelta(minutes=3)


@dataclass
class DepositsState:
    """All that one run hands to the next."""

    cursor: DepositCursor = field(default_factory=DepositCursor)
    opened: int = 0
    deposits_trouble: str = ""
    slots_trouble: str = ""
    withdrawals_trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        cursor = self.cursor
        lines = [
            f"- deposits credited: {cursor.credited}, {cursor.amount} micro-USDC",
            f"- read up to signature: `{cursor.signature or 'none'}`",
            f"- slots opened: {self.opened}",
        ]
        if cursor.claimed:
            lines.append(f"- claimed by owners alone: {cursor.claimed} micro-USDC")
        if cursor.refused:
            lines.append(f"- **refused by the engine**: {cursor.refused}, last `{cursor.last_refused}`")
        lines += [
            f"- **trouble**: {sentence}"
            for sentence in (self.deposits_trouble, self.slots_trouble, self.withdrawals_trouble)
            if sentence
        ]
        return "\n".join(lines)


@workflow.defn
class DepositsWorkflow:
    """Runs for ever. Three watches side by side, none waiting for another: slots that cannot be opened delay no credit.

    The cursor is only a place to go on from: the engine credits each `signature:index` once, so reading the chain again from any
    earlier place, or from the start, changes nothing.
    """

    @workflow.init
    def __init__(self, state: DepositsState | None = None) -> None:
        self._state = state or DepositsState()

    @workflow.run
    async def run(self, state: DepositsState | None = None) -> None:
        await asyncio.gather(self._credit(), self._again(self._open), self._again(self._take_up))

    @workflow.query
    def state(self) -> DepositsState:
        return self._state

    async def _credit(self) -> None:
        """Credit until this run ends: the other watches end with it, whatever they are at, as what they do is asked for first."""
        state = self._state
        for _ in range(ROUNDS_PER_RUN):
            self._show()
            state.cursor = await must_happen(
                DepositActivities.watch_deposits,
                state.cursor,
                WATCH.total_seconds(),
                on_trouble=self._deposits_trouble,
                within=PATIENCE,
            )
            if workflow.info().is_continue_as_new_suggested():
                break
        workflow.continue_as_new(state)

    async def _again(self, watch: Callable[[], Awaitable[None]]) -> None:
        while True:
            await watch()
            self._show()

    async def _open(self) -> None:
        self._state.opened += await must_happen(
            SlotActivities.watch_unbound,
            WATCH.total_seconds(),
            on_trouble=self._slots_trouble,
            within=PATIENCE,
        )

    async def _take_up(self) -> None:
        await must_happen(
            OpenWithdrawalActivities.take_up_withdrawals,
            FORGOTTEN.total_seconds(),
            on_trouble=self._withdrawals_trouble,
        )
        await workflow.sleep(WATCH)

    def _withdrawals_trouble(self, sentence: str) -> None:
        self._state.withdrawals_trouble = sentence
        self._show()

    def _deposits_trouble(self, sentence: str) -> None:
        self._state.deposits_trouble = sentence
        self._show()

    def _slots_trouble(self, sentence: str) -> None:
        self._state.slots_trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._state.text())
