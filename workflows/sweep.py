"""The sweep: whatever liquidations left undone is found and brought to an end."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.sweep import SweepActivities
    from workflows.steps import must_happen

SWEEP_SCHEDULE: Final = "liquidation-sweep"
"""Id of the Schedule that starts a sweep."""
SWEEP_EVERY: Final = timedelta(minutes=1)
PAUSE: Final = timedelta(seconds=2)
"""After an auction in vain the engine waits as long at least."""
ROUNDS: Final = 100
"""A sweep that is not done after so many leaves the rest to the next one: its history would get long."""


@dataclass
class Sweep:
    """What a sweep came to: accounts that had been `forgotten`, those still `going_on` or `stuck`, and lots of the insurance fund."""

    forgotten: list[int] = field(default_factory=list)
    going_on: list[int] = field(default_factory=list)
    sold: int = 0
    left: int = 0
    trouble: str = ""
    stuck: list[int] = field(default_factory=list)

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        lines = [
            f"- found below maintenance and reviewed: {self.forgotten or 'none'}",
            f"- being liquidated: {self.going_on or 'none'}",
            f"- of the insurance fund: {self.sold} lots sold, {self.left} left",
        ]
        if self.stuck:
            lines.append(f"- **not_liquidated**: nothing is done about accounts {self.stuck}")
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class SweepWorkflow:
    """One sweep. It goes on while accounts are being liquidated or stuck, or the insurance fund gets rid of something.

    The engine liquidates by itself; this is for what it overlooks, and for what nobody else would do. Two sweeps at once do no harm.
    """

    @workflow.init
    def __init__(self) -> None:
        self._sweep = Sweep()

    @workflow.run
    async def run(self) -> Sweep:
        sweep = self._sweep
        for _ in range(ROUNDS):
            reviewed = await must_happen(SweepActivities.review_accounts, on_trouble=self._trouble)
            sweep.forgotten += [one for one in reviewed.forgotten if one not in sweep.forgotten]
            sweep.going_on, sweep.stuck = reviewed.going_on, reviewed.stuck
            sold = await must_happen(SweepActivities.sell_inventory, on_trouble=self._trouble)
            sweep.sold, sweep.left = sweep.sold + sold.lots, sold.left
            self._show()
            if not reviewed.going_on and not reviewed.stuck and not sold.lots:
                break
            if not sold.lots:
                await workflow.sleep(PAUSE)
        return sweep

    @workflow.query
    def progress(self) -> Sweep:
        return self._sweep

    def _trouble(self, sentence: str) -> None:
        self._sweep.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._sweep.text())
