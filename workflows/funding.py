"""Funding: every hour of every market is paid once, in order, however late anybody gets to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.funding import FundingActivities, MarketHour, PaidHour
    from core.funding_hour import Basis
    from workflows.steps import MARKET, must_happen

HOUR: Final = timedelta(hours=1)
APART: Final = timedelta(seconds=1)
"""Between the payments of two markets. Each is one turn of the exchange's loop, too long a one with very many positions: in a row they
would have requests refused."""
SCHEDULED: Final = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""When a Schedule meant a run to start; it may have started hours later."""


def funding_workflow_id(of: MarketHour) -> str:
    """One workflow for a market and the instant at which its hour was due."""
    return f"funding-{of.symbol}-{_instant(of.hour)}"


def hour_ended_by(instant: datetime) -> int:
    """The last hour (since the Unix epoch) that has ended at an instant."""
    return int(instant.timestamp()) // int(HOUR.total_seconds())


def _instant(hour: int) -> str:
    return datetime.fromtimestamp(hour * HOUR.total_seconds(), UTC).strftime("%Y-%m-%dT%H:%MZ")


@dataclass
class FundingProgress:
    """What the Temporal UI shows of an hour. `waiting` are the hours still to pay; missed ones come before the hour itself."""

    symbol: str
    hour: int
    waiting: list[int] = field(default_factory=list)
    paid: list[PaidHour] = field(default_factory=list)
    trouble: str = ""

    def text(self) -> str:
        """Markdown for the workflow's current details."""
        lines = [f"**Funding of {self.symbol}** for the hour to {_instant(self.hour)}"]
        lines += [
            f"- paid {_instant(one.hour)}: {one.hourly / 1e10:.6f} % by {Basis(one.basis).name.lower()} of {one.samples} "
            f"samples, {one.paid} micro-USDC among {one.accounts} accounts"
            for one in self.paid
        ]
        lines += [f"- waits: {_instant(hour)}" for hour in self.waiting]
        if self.trouble:
            lines.append(f"- **trouble**: {self.trouble}")
        return "\n".join(lines)


@workflow.defn
class FundingWorkflow:
    """Pays one hour of one market, after those before it that were missed.

    It never gives up: an hour that may not be paid yet is asked for again, and an answer that got lost is too, for the engine pays
    each hour once. Runs of later hours beside it do no harm: whoever comes first pays, the others are told what it came to.
    """

    @workflow.init
    def __init__(self, of: MarketHour) -> None:
        self._progress = FundingProgress(of.symbol, of.hour)

    @workflow.run
    async def run(self, of: MarketHour) -> PaidHour | None:
        """What the hour came to; None when it had been paid so long ago that the engine no longer knows, or the market is delisted."""
        progress = self._progress
        workflow.upsert_search_attributes([MARKET.value_set(of.symbol)])
        self._show()
        missed = await must_happen(FundingActivities.missed_hours, of, on_trouble=self._trouble)
        progress.waiting = [*missed, of.hour]
        paid = None
        while progress.waiting:
            self._show()
            next_one = MarketHour(of.market, of.symbol, progress.waiting[0])
            paid = await must_happen(FundingActivities.pay_hour, next_one, on_trouble=self._trouble)
            progress.waiting.pop(0)
            if paid is not None:
                progress.paid.append(paid)
        self._show()
        return paid

    @workflow.query
    def progress(self) -> FundingProgress:
        return self._progress

    def _trouble(self, sentence: str) -> None:
        self._progress.trouble = sentence
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(self._progress.text())


@workflow.defn
class FundingHourWorkflow:
    """What the Schedule starts every hour: a workflow for each listed market, named after the hour that was due then.

    It goes by the time it was scheduled for, not by when it runs, and waits for nobody's payment: no market holds up another. But they
    are started a second apart.
    """

    @workflow.run
    async def run(self) -> None:
        info = workflow.info()
        hour = hour_ended_by(info.typed_search_attributes.get(SCHEDULED) or info.start_time)
        markets = await must_happen(FundingActivities.funded_markets, on_trouble=workflow.set_current_details)
        apart = workflow.patched("markets-apart")
        for number, market in enumerate(markets):
            if number and apart:
                await workflow.sleep(APART)
            of = MarketHour(market.market, market.symbol, hour)
            try:
                await workflow.start_child_workflow(
                    FundingWorkflow.run,
                    of,
                    id=funding_workflow_id(of),
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    memo={"hour": hour},
                    static_summary=f"Funding of {of.symbol} for the hour to {_instant(hour)}",
                )
            except WorkflowAlreadyStartedError:
                workflow.logger.info("funding of %s is paid by another run", of.symbol)
