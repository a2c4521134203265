"""One order at a venue: placed at most once, whatever is lost or killed on the way, and followed until it has ended."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.following import FIRST_LOOKS, LOOKS, FollowingActivities
    from activities.open_orders import repeats
    from activities.order_rules import CLIENT_ID_USED, NOT_RUN_HERE, OrderAsked
    from activities.orders import (
        PLACED,
        UNKNOWN,
        UNSENT,
        VENUE_SILENT,
        OrderActivities,
        OrderFacts,
        Step,
    )
    from core.quantities import SECOND
    from ledger.venue_orders import Standing
    from workflows.steps import FOLLOWING, HEARTBEAT, SYMBOL, VAULT, VENUE, must_happen, reason

PATIENCE: Final = timedelta(minutes=1)
"""How long an order of which nobody said until when is sent again: later its price is not what its sender saw."""
LOST_FOR: Final = timedelta(minutes=1)
"""How long a request may be on its way where nobody says: the one who sent it is gone, or the venue promises nothing. No try sends
anything later than so long after it began, so whoever stood still meanwhile is over by then, too."""
AGAIN: Final = timedelta(seconds=2)
ASK_FIRST: Final = timedelta(seconds=1)
ASK_LAST: Final = timedelta(seconds=15)
ROUNDS_PER_RUN: Final = 200
"""Of following, each about two minutes: then the workflow goes on as a new run."""
FOLLOWED_WITHIN: Final = timedelta(minutes=10)
"""Of one step, with a venue that is slow to answer each time."""
FOLLOWED_BEAT: Final = timedelta(seconds=15)
"""There may be a thousand such steps, which shall not say every second that they are alive."""
TAKEN_BACK_UNSENT: Final = "taken-back-unsent"
"""Patch: earlier workflows tried once more to send what was taken back between two tries."""
TAKEN_BACK_LOST: Final = "taken-back-lost"
"""The same of one that may have been sent, and was not."""
NEVER_THERE: Final = (Standing.REFUSED, Standing.NOT_SENT)
"""What ended so has nothing to be followed."""


@dataclass
class OrderRun:
    """What goes from run to run; `facts` once the order is placed. From `not_after` on (nanoseconds, 0: `PATIENCE`) it is not sent.

    That is no part of what is asked: the same order again has a later one, and the first counts. `resumed`: what is asked is known
    from the ledger alone. `cancelled`: it is taken back, and nothing is sent any more.
    """

    asked: OrderAsked
    facts: OrderFacts | None = None
    not_after: int = 0
    resumed: bool = False
    cancelled: bool = False


@dataclass
class OrderOutcome:
    """What was asked, known from the ledger alone when it was `resumed`, and what became of it."""

    asked: OrderAsked
    facts: OrderFacts
    resumed: bool = False


@workflow.defn
class OrderWorkflow:
    """Place, follow, end. Whoever asks `acknowledged` waits until the venue or the rules have answered."""

    @workflow.init
    def __init__(self, run: OrderRun) -> None:
        self._asked = run.asked
        self._facts = run.facts
        self._not_after = run.not_after
        self._cancelled = run.cancelled
        self._resumed = run.resumed
        self._untried = Step(UNSENT) if run.cancelled else None
        self._trouble = ""

    @workflow.run
    async def run(self, run: OrderRun) -> OrderOutcome:
        asked = self._asked
        workflow.upsert_search_attributes(
            [VAULT.value_set(asked.vault), VENUE.value_set(asked.venue), SYMBOL.value_set(asked.symbol)]
        )
        facts, rounds = run.facts, 0
        if facts is None:
            facts = self._show(await self._placed())
            if facts.status not in NEVER_THERE:
                # What fills at once is in the books at once, however many others wait to be followed.
                facts, rounds = self._show(await self._look(FIRST_LOOKS)), 1
        # What the venue has answered may have ended there without its fills in the ledger: only a look says that they are.
        while not facts.ended:
            if rounds == ROUNDS_PER_RUN:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(OrderRun(self._asked, facts, resumed=self._resumed))
            facts = self._show(await self._follow())
            rounds += 1
        await workflow.wait_condition(workflow.all_handlers_finished)
        return OrderOutcome(self._asked, facts, self._resumed)

    @workflow.update
    async def acknowledged(self, asked: OrderAsked) -> OrderFacts:
        """How the order stands, once that is known. Fails with type client_id_used when another order has this id."""
        await workflow.wait_condition(lambda: self._facts is not None)
        assert self._facts is not None
        return self._facts

    @acknowledged.validator
    def _check(self, asked: OrderAsked) -> None:
        if asked != self._asked and not (self._resumed and repeats(self._asked, asked)):
            raise ApplicationError(NOT_RUN_HERE[CLIENT_ID_USED], type=CLIENT_ID_USED)

    @workflow.update
    async def cancel(self) -> OrderFacts:
        """Take the order back, and how it stands then. Fails with the venue's code where it refuses."""
        self._cancelled = True
        await workflow.wait_condition(lambda: self._facts is not None)
        assert self._facts is not None
        if not self._facts.ended:
            code = await must_happen(
                OrderActivities.cancel_order, self._facts.ticket, on_trouble=self._troubled
            )
            if code:
                raise ApplicationError("The venue does not take the order back.", type=code)
            self._show(await self._look(1))
        return self._facts

    @workflow.query
    def state(self) -> OrderFacts | None:
        """How the order stands; None before anybody knows."""
        return self._facts

    @workflow.query
    def trouble(self) -> str:
        """What keeps the order from going on, as a sentence; empty when nothing does."""
        return self._trouble

    async def _placed(self) -> OrderFacts:
        """Answered by the venue or the rules, or given up while it is certain that the venue has nothing."""
        give_up = _instant(self._not_after) if self._not_after else workflow.now() + PATIENCE
        not_after = self._not_after or _nanos(give_up)
        while True:
            step, self._untried = self._untried or await self._try(not_after), None
            if step.kind == UNSENT:
                self._troubled(step.words)
                if self._cancelled or workflow.now() + AGAIN >= give_up:
                    words = "It was taken back." if self._cancelled else step.words
                    step = await must_happen(
                        OrderActivities.give_up_order,
                        self._asked,
                        words,
                        step.code or VENUE_SILENT,
                        on_trouble=self._troubled,
                    )
                else:
                    await workflow.sleep(AGAIN)
                    if self._cancelled and workflow.patched(TAKEN_BACK_UNSENT):
                        # Nobody tries once more what is taken back.
                        self._untried = step
                    continue
            if step.kind == UNKNOWN:
                step = await self._resolved(step)
                if step.kind == UNSENT and self._cancelled and workflow.patched(TAKEN_BACK_LOST):
                    self._untried = step
                    continue
            if step.kind == PLACED:
                assert step.facts is not None
                self._troubled("")
                return step.facts

    async def _try(self, not_after: int) -> Step:
        before = min(not_after, _nanos(workflow.now() + LOST_FOR))
        try:
            return await workflow.execute_activity_method(
                OrderActivities.place_order,
                args=(self._asked, before, not_after),
                start_to_close_timeout=timedelta(minutes=1),
                heartbeat_timeout=HEARTBEAT,
                # Never again without asking the venue first.
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return Step(UNKNOWN, words=reason(error))

    async def _resolved(self, step: Step) -> Step:
        """Placed or unsent: whatever may have been sent is found, or can not come any more."""
        until = step.until or _nanos(workflow.now() + LOST_FOR)
        wait, words = ASK_FIRST, step.words
        while True:
            self._troubled(words)
            step = await must_happen(
                OrderActivities.resolve_order, self._asked.ticket, until, on_trouble=self._troubled
            )
            if step.kind != UNKNOWN:
                step.words = step.words or words
                return step
            await workflow.sleep(wait)
            wait = min(wait * 2, ASK_LAST)

    async def _look(self, looks: int) -> OrderFacts:
        """How the order stands after so few looks at the venue that they are not behind whatever is followed."""
        return await must_happen(
            FollowingActivities.follow_order, self._asked.ticket, looks, on_trouble=self._troubled
        )

    async def _follow(self) -> OrderFacts:
        """How the order stands when it has ended, or in about two minutes. One that waits never keeps another from being sent."""
        return await must_happen(
            FollowingActivities.follow_order,
            self._asked.ticket,
            LOOKS,
            on_trouble=self._troubled,
            within=FOLLOWED_WITHIN,
            heartbeat=FOLLOWED_BEAT,
            task_queue=workflow.info().task_queue + FOLLOWING,
        )

    def _show(self, facts: OrderFacts) -> OrderFacts:
        # The venue may have said that it ended before the ledger has the last fill: nobody is told that it has not, after all.
        if facts.ended or self._facts is None or not self._facts.ended:
            self._facts = facts
        return facts

    def _troubled(self, sentence: str) -> None:
        self._trouble = sentence
        workflow.set_current_details(sentence)


def _instant(nanos: int) -> datetime:
    """Rounded down to a microsecond."""
    return datetime.fromtimestamp(nanos // SECOND, UTC) + timedelta(microseconds=nanos % SECOND // 1_000)


def _nanos(instant: datetime) -> int:
    """Nanoseconds since the Unix epoch; whole seconds are enough for all that is waited for here, rounded up."""
    return (int(instant.timestamp()) + 1) * SECOND
