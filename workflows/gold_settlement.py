"""Gold orders of many vaults, gathered for a period and carried out as one transaction.

What is signed is in this workflow's history before it is sent: after any crash all that may land is known. One such workflow for each
executor's key, because the key has one open nonce at a time.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.gold_settlement import (
        DISPLACED,
        EXECUTED,
        OVERDUE,
        REFUSED,
        GoldBatch,
        GoldFate,
        GoldSettlementActivities,
        GoldTry,
        OrderOutcome,
        VaultOrder,
    )
    from workflows.steps import must_happen

GOLD_SETTLEMENT: Final = "gold-settlement"
"""Id of the workflow, one for each executor's key."""
MOST_LEGS: Final = 100
"""About ten million gas: a third of a block of mainnet."""
VALID_FOR: Final = timedelta(minutes=15)
AFTER_REFUSAL: Final = timedelta(seconds=30)
BATCHES_PER_RUN: Final = 50
"""After so many the workflow goes on as a new run: its history would get long."""
OUTCOMES_KEPT: Final = 1_000


@dataclass
class GoldBook:
    """What goes from run to run: orders that wait, and outcomes of the latest ones by order."""

    period_s: int = 30
    waiting: list[VaultOrder] = field(default_factory=list)
    outcomes: dict[str, OrderOutcome] = field(default_factory=dict)
    batches: int = 0


@workflow.defn
class GoldSettlementWorkflow:
    """For ever: waits for orders, gathers more for a period, carries them out, keeps what came of them."""

    @workflow.init
    def __init__(self, book: GoldBook) -> None:
        self._book = book
        self._under_way: list[str] = []
        self._trouble = ""

    @workflow.run
    async def run(self, book: GoldBook) -> None:
        for _ in range(BATCHES_PER_RUN):
            await workflow.wait_condition(lambda: bool(book.waiting))
            await workflow.sleep(book.period_s)
            orders, book.waiting = book.waiting[:MOST_LEGS], book.waiting[MOST_LEGS:]
            self._under_way = [order.id for order in orders]
            fate = await self._carried_out(self._batch(orders))
            self._keep(orders, fate)
            self._under_way = []
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(book)

    @workflow.update
    def place(self, order: VaultOrder) -> None:
        """Take an order for the next batch. The same order again changes nothing."""
        known = [*self._under_way, *(one.id for one in self._book.waiting), *self._book.outcomes]
        if order.id not in known:
            self._book.waiting.append(order)

    @place.validator
    def _check(self, order: VaultOrder) -> None:
        try:
            sound = len(bytes.fromhex(order.id)) == 32 and len(bytes.fromhex(order.vault[2:])) == 20
        except ValueError:
            sound = False
        fits = -(2**127) <= order.size < 2**127 and 0 <= order.limit_price < 2**64
        if not (sound and fits and 0 <= order.cash_in < 2**128 and 0 <= order.cash_out < 2**128):
            # What cannot be encoded would keep everybody else's orders from their batch.
            raise ApplicationError("the order does not fit a leg", type="order_malformed", non_retryable=True)

    @workflow.query
    def outcome(self, order: str) -> OrderOutcome | None:
        """What came of an order; None while it waits or is under way, or was never placed, or long ago."""
        return self._book.outcomes.get(order)

    @workflow.query
    def trouble(self) -> str:
        """What keeps a batch from being carried out, as a sentence; empty when nothing does."""
        return self._trouble

    def _batch(self, orders: list[VaultOrder]) -> GoldBatch:
        self._book.batches += 1
        # The run's own random numbers are the same in every replay, and nobody else's.
        name = (workflow.uuid4().bytes + workflow.uuid4().bytes).hex()
        return GoldBatch(name, int((workflow.now() + VALID_FOR).timestamp()), orders)

    async def _carried_out(self, batch: GoldBatch) -> GoldFate:
        """The batch's fate: executed, or that nothing of it was done or can be done any more."""
        steps, what = GoldSettlementActivities, GoldTry(batch)

        def told(sentence: str) -> None:
            self._trouble = sentence
            # Whatever failed, it may have been after sending.
            what.sent = bool(what.attempts)

        while True:
            more = await must_happen(steps.sign_gold_batch, what, on_trouble=told)
            if more is not None:
                what.attempts.append(more)
            fate = await must_happen(
                steps.watch_gold_batch, what, on_trouble=told, within=timedelta(minutes=10)
            )
            if fate.kind == OVERDUE:
                what.sent = True
                continue
            if fate.kind not in (DISPLACED, REFUSED):
                self._trouble = ""
                return fate
            # The nonce is free again, or somebody else's: begin anew, unless the batch is too late by now.
            self._trouble = f"{fate.kind}: {fate.reason or fate.hash}"
            what = GoldTry(batch)
            if fate.kind == REFUSED:
                await workflow.sleep(AFTER_REFUSAL)
            if workflow.now().timestamp() > batch.deadline:
                found = await must_happen(steps.find_gold_batch, batch, on_trouble=told)
                return found or fate

    def _keep(self, orders: list[VaultOrder], fate: GoldFate) -> None:
        if fate.kind == EXECUTED:
            came = fate.orders
        else:
            came = [OrderOutcome(order.id, 0, 0, f"{fate.kind}: {fate.reason}") for order in orders]
        outcomes = self._book.outcomes
        outcomes.update((one.id, one) for one in came)
        for old in list(outcomes)[: max(0, len(outcomes) - OUTCOMES_KEPT)]:
            del outcomes[old]
