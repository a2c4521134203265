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
        LATE,
        OVERDUE,
        REFUSED,
        UNDONE,
        GoldBatch,
        GoldFate,
        GoldSettlementActivities,
        GoldTry,
    )
    from chain.evm.gold_orders import (
        DONE,
        TAKEN_BACK,
        UNDER_WAY,
        WAITING,
        OrderOutcome,
        OrderPlace,
        VaultOrder,
    )
    from venues.driver import Reason
    from workflows.steps import must_happen

GOLD_SETTLEMENT: Final = "gold-settlement"
"""Id of the workflow, one for each executor's key."""
MOST_LEGS: Final = 100
"""Whatever gas allows: each step's arguments have all of a batch. A hundred use about ten million gas, but must be given what they may
use at worst, so that fewer fit a transaction (`most_gold_orders`): 37 with the 400,000 that the market is registered with."""
VALID_FOR: Final = timedelta(minutes=15)
AFTER_REFUSAL: Final = timedelta(seconds=30)
BATCHES_PER_RUN: Final = 50
"""After so many the workflow goes on as a new run: its history would get long."""
OUTCOMES_KEPT: Final = 1_000
"""Of orders that were carried out, and as many of others: of the first the chain tells for ever, of the others nobody else."""
ORDER_LATE: Final = "order_late"


@dataclass
class GoldBook:
    """What goes from run to run: orders that wait, and outcomes of the latest ones by order."""

    period_s: int = 30
    waiting: list[VaultOrder] = field(default_factory=list)
    outcomes: dict[str, OrderOutcome] = field(default_factory=dict)
    batches: int = 0
    block: int = 0
    """Of the last batch that lies on chain."""


@workflow.defn
class GoldSettlementWorkflow:
    """For ever: waits for orders, gathers more for a period, carries them out, keeps what came of them.

    The cash of vaults' tickets is reckoned between two batches, when all that is known of what they hold is true.
    """

    @workflow.init
    def __init__(self, book: GoldBook) -> None:
        self._book = book
        self._under_way: list[VaultOrder] = []
        self._trouble = ""

    @workflow.run
    async def run(self, book: GoldBook) -> None:
        for _ in range(BATCHES_PER_RUN):
            await workflow.wait_condition(lambda: bool(book.waiting))
            await workflow.sleep(book.period_s)
            most = await self._most_orders()
            orders, book.waiting = _next_batch(book.waiting, most)
            self._under_way = orders
            orders = await self._covered(orders)
            self._under_way = orders
            if orders:
                fate = await self._carried_out(self._batch(orders))
                self._book.block = max(self._book.block, fate.block)
                self._keep(_outcomes(orders, fate))
            self._under_way = []
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(book)

    @workflow.update
    def place(self, order: VaultOrder) -> None:
        """Take an order for the next batch. The same order again changes nothing."""
        if not self._place_of(order.id).where:
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
        if order.until and workflow.now().timestamp() > order.until:
            # Whoever placed it was not answered, and may have given it up.
            raise ApplicationError("the order comes too late", type=ORDER_LATE, non_retryable=True)

    @workflow.update
    def take_back(self, order: str) -> str:
        """Take an order out of those that wait for a batch. Where it was: only one that was waiting is taken back."""
        found = self._place_of(order)
        if found.where == WAITING and found.order is not None:
            self._book.waiting.remove(found.order)
            words = "it was taken back before its batch was made"
            self._keep([OrderOutcome(order, 0, 0, words, TAKEN_BACK, found.order.size)])
        return found.where

    @workflow.query
    def outcome(self, order: str) -> OrderOutcome | None:
        """What came of an order; None while it waits or is under way, or was never placed, or long ago."""
        return self._book.outcomes.get(order)

    @workflow.query
    def place_of(self, order: str) -> OrderPlace:
        """Where an order is, and what came of it."""
        return self._place_of(order)

    @workflow.query
    def trouble(self) -> str:
        """What keeps a batch from being carried out, as a sentence; empty when nothing does."""
        return self._trouble

    def _place_of(self, order: str) -> OrderPlace:
        for where, orders in ((WAITING, self._book.waiting), (UNDER_WAY, self._under_way)):
            for one in orders:
                if one.id == order:
                    return OrderPlace(where, one)
        outcome = self._book.outcomes.get(order)
        return OrderPlace("") if outcome is None else OrderPlace(DONE, outcome=outcome)

    def _told(self, sentence: str) -> None:
        self._trouble = sentence

    async def _most_orders(self) -> int:
        """How many the next batch may have. Where only one waits nobody is asked."""
        if len(self._book.waiting) < 2 or not workflow.patched("batch-gas"):
            return MOST_LEGS
        fit = await must_happen(GoldSettlementActivities.most_gold_orders, on_trouble=self._told)
        return min(MOST_LEGS, fit)

    async def _covered(self, orders: list[VaultOrder]) -> list[VaultOrder]:
        """The orders as they go into a batch; what does not go there has its outcome."""
        bare = [order for order in orders if order.cover]
        if not bare:
            return orders

        made = await must_happen(
            GoldSettlementActivities.cover_gold_orders, bare, self._book.block, on_trouble=self._told
        )
        oldest = workflow.now().timestamp() - VALID_FOR.total_seconds()
        late = [order for order in made.orders if order.until and order.until < oldest]
        words = "it has waited for too long"
        self._keep(made.refused)
        self._keep([OrderOutcome(one.id, 0, 0, words, Reason.EXPIRED.value, one.size) for one in late])
        return [order for order in orders if not order.cover] + [
            order for order in made.orders if order not in late
        ]

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
            if (
                not what.sent
                and workflow.now().timestamp() > batch.deadline
                and workflow.patched("unsent-late")
            ):
                # Nobody answered for so long that it would only be undone: what is signed is not sent.
                found = await must_happen(steps.find_gold_batch, batch, on_trouble=told)
                return found or GoldFate(LATE, reason="no node answered in time")
            fate = await must_happen(
                steps.watch_gold_batch, what, on_trouble=told, within=timedelta(minutes=10)
            )
            if fate.kind == OVERDUE:
                what.sent = True
                self._trouble = "overdue: no block has taken it"
                if workflow.now().timestamp() > batch.deadline and _ends_overdue():
                    # A node that never takes it says so in words of its own. What it may hold uses the nonce up, and comes to nothing.
                    ended = await must_happen(steps.end_gold_batch, batch, on_trouble=told)
                    if ended is not None:
                        self._trouble = ""
                        return ended
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

    def _keep(self, came: list[OrderOutcome]) -> None:
        outcomes = self._book.outcomes
        outcomes.update((one.id, one) for one in came)
        for carried_out in (True, False):
            alike = [name for name, one in outcomes.items() if (not one.reason) is carried_out]
            for old in alike[: max(0, len(alike) - OUTCOMES_KEPT)]:
                del outcomes[old]


def _next_batch(waiting: list[VaultOrder], most: int) -> tuple[list[VaultOrder], list[VaultOrder]]:
    """Up to `most` orders of the next batch, the first that came first, and those that go on waiting.

    An order that is to be covered is the only one of its vault: what it needs depends on what becomes of the others.
    """
    taken: list[VaultOrder] = []
    left: list[VaultOrder] = []
    vaults: dict[str, bool] = {}
    for order in waiting:
        alone = vaults.get(order.vault)
        if len(taken) == most or alone or (order.cover and alone is not None):
            left.append(order)
        else:
            taken.append(order)
        # Also by one that waits: no later order of a vault overtakes it.
        vaults[order.vault] = bool(alone) or order.cover
    return taken, left


def _ends_overdue() -> bool:
    """Whether an overdue batch may end. A run that was overdue before this was known does not know the first mark for good, for it is
    played again from before; so each of its rounds has a mark of its own, which the first new one sets."""
    late = "overdue-late"
    return workflow.patched(late) or workflow.patched(
        f"{late}-{workflow.info().get_current_history_length()}"
    )


def _outcomes(orders: list[VaultOrder], fate: GoldFate) -> list[OrderOutcome]:
    if fate.kind == EXECUTED:
        return fate.orders
    code = fate.code if fate.kind == UNDONE else Reason.EXPIRED.value
    words = f"{fate.kind}: {fate.reason}"
    return [OrderOutcome(order.id, 0, 0, words, code, order.size) for order in orders]
