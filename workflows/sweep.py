"""The sweep: whatever liquidations left undone is found and brought to an end."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.sweep import Reviewed, SweepActivities
    from workflows.steps import must_happen

SWEEP_SCHEDULE: Final = "liquidation-sweep"
"""Id of the Schedule that starts a sweep."""
SWEEP_EVERY: Final = timedelta(minutes=1)
PAUSE: Final = timedelta(seconds=2)
"""After an auction in vain the engine waits as long at least."""
SALES: Final = 20
"""Auctions in each market after which the rest of what the insurance fund holds waits for the next sweep: it reviews first."""
ROUNDS: Final = 100
"""Of a sweep that began before reviews were made once."""


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
    """One sweep: a review, and then the sale of what the insurance fund holds, as long as somebody buys.

    The engine liquidates by itself; this is for what it overlooks, and for what nobody else would do. A review looks at all accounts
    and asks for each that is being liquidated, in a crash for many: so there is one a sweep, and the next sweep is a minute away. Two
    sweeps at once do no harm.
    """

    @workflow.init
    def __init__(self) -> None:
        self._sweep = Sweep()

    @workflow.run
    async def run(self) -> Sweep:
        if not workflow.patched("reviewed-once"):
            return await self._round_by_round()
        await self._review()
        for _ in range(SALES):
            if not await self._sell():
                break
        return self._sweep

    async def _round_by_round(self) -> Sweep:
        """As sweeps went that began before."""
        for _ in range(ROUNDS):
            reviewed, sold = await self._review(), await self._sell()
            if not reviewed.going_on and not reviewed.stuck and not sold:
                break
            if not sold:
                await workflow.sleep(PAUSE)
        return self._sweep

    async def _review(self) -> Reviewed:
        sweep = self._sweep
        reviewed = await must_happen(SweepActivities.review_accounts, on_trouble=self._trouble)
        sweep.forgotten += [one for one in reviewed.forgotten if one not in sweep.forgotten]
        sweep.going_on, sweep.stuck = reviewed.going_on, reviewed.stuck
        self._show()
        return reviewed

    async def _sell(self) -> int:
        """One auction in each market; lots that were sold."""
        sweep = self._sweep
        sold = await must_happen(SweepActivities.sell_inventory, on_trouble=self._trouble)
        sweep.sold, sweep.left = sweep.sold + sold.lots, sold.left
        self._show()
        return sold.lots

    @workflow.query
    def progress(self) -> Sweep:
        return self._sweep

    def _trouble(self, sentence: str) -> None:
        self._sweep.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._sweep.text())
