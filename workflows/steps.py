"""How workflows run an activity that must happen in the end: a few tries, then say what is wrong, wait, and go on."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

Result = TypeVar("Result")

BATCH: Final = SearchAttributeKey.for_keyword("Batch")
"""Search attribute: number of the settlement batch a workflow works on."""
AGENT: Final = SearchAttributeKey.for_keyword("Agent")
"""Search attribute: engine account of the agent a workflow works for."""
MARKET: Final = SearchAttributeKey.for_keyword("Market")
"""Search attribute: symbol of the market a workflow works on."""
VAULT: Final = SearchAttributeKey.for_keyword("Vault")
"""Search attribute: the vault a workflow works for."""
VENUE: Final = SearchAttributeKey.for_keyword("Venue")
"""Search attribute: the outside venue of an order."""
SYMBOL: Final = SearchAttributeKey.for_keyword("Symbol")
"""Search attribute: what an order at a venue trades."""

HEARTBEAT: Final = timedelta(seconds=5)
"""An activity that says nothing for so long is tried again elsewhere: its worker is gone."""
WITHDRAWALS: Final = "-withdrawals"
"""What the task queue of withdrawals adds to the worker's: agents start them, and settlement never waits behind them."""
PAYMENTS: Final = "-payments"
"""What the task queue of payments adds to the worker's: they wait for finality, and settlement never waits for them."""
GOLD: Final = "-gold"
"""What the task queue of gold orders adds: only workers that were given an EVM chain take from it."""
ORDERS: Final = "-orders"
"""What the task queue of orders at outside venues adds: venues answer late, and settlement never waits for them."""
FOLLOWING: Final = "-following"
"""What the task queue of following orders adds to that of orders: one that waits is followed for days, and no other order, cancel or
comparison ever waits for that."""
FIRST_TRIES: Final = 3
LAST_TRIES: Final = 96
"""Tries do not lengthen the history, rounds of tries do: later rounds have more of them."""
FIRST_PAUSE: Final = timedelta(seconds=2)
LAST_PAUSE: Final = timedelta(minutes=1)


async def must_happen(
    step: Callable[..., Awaitable[Result]],
    *args: Any,
    on_trouble: Callable[[str], None],
    within: timedelta = timedelta(minutes=3),
    task_queue: str | None = None,
    heartbeat: timedelta = HEARTBEAT,
) -> Result:
    """Result of the activity method `step`, however long it takes.

    Every round of tries that fails is told to `on_trouble` as a sentence, with the time of the first try, and followed by a longer
    pause and a longer round; success after trouble is told as an empty sentence. Only for steps that are idempotent and that nobody
    may give up: whatever is wrong is repaired from outside while this waits.
    """
    pause, tries, troubled = FIRST_PAUSE, FIRST_TRIES, False
    since = workflow.now().isoformat(timespec="seconds")
    while True:
        try:
            result: Result = await workflow.execute_activity_method(
                step,
                args=args,
                task_queue=task_queue,
                start_to_close_timeout=within,
                heartbeat_timeout=heartbeat,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=500),
                    maximum_interval=timedelta(seconds=5),
                    maximum_attempts=tries,
                ),
            )
        except ActivityError as error:
            on_trouble(f"{error.activity_type} since {since}: {reason(error)}")
            troubled = True
            await workflow.sleep(pause)
            pause, tries = min(pause * 2, LAST_PAUSE), min(tries * 2, LAST_TRIES)
            continue
        if troubled:
            on_trouble("")
        return result


def reason(error: ActivityError) -> str:
    """One sentence on why an activity failed: its error type and message, or the timeout that ended it."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return f"{cause.type}: {cause.message}"
    return str(cause or error)


def code(error: ActivityError) -> str:
    """Stable code of the failure that ended an activity, or an empty string when it was a timeout."""
    return (error.cause.type or "") if isinstance(error.cause, ApplicationError) else ""
