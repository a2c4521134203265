"""Taking up withdrawals that nobody works on: a reservation whose workflow was terminated, or was lost with Temporal's database."""

from contextlib import suppress
from time import time_ns
from typing import Final

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats
from core.quantities import SECOND

WITHDRAWAL_WORKFLOW: Final = "WithdrawalWorkflow"


def withdrawal_workflow_id(account: int, key: str) -> str:
    """One workflow for each key of an account."""
    return f"withdrawal-{account}-{key}"


class OpenWithdrawalActivities:
    """Over the worker's own client and the task queue of withdrawals."""

    def __init__(self, door: EngineDoor, client: Client, task_queue: str) -> None:
        self._door = door
        self._client = client
        self._task_queue = task_queue

    @activity.defn
    async def take_up_withdrawals(self, older_than_s: float) -> None:
        """Start the workflow of each withdrawal that has been open for so many seconds, unless it runs or has ended by itself.

        It goes on where the journal and the signed bytes stand, to the destination that the journal has.
        """
        before = time_ns() - int(older_than_s * SECOND)
        async with heartbeats():
            for one in await self._door.open_withdrawals():
                if one.at > before:
                    continue
                request = {
                    "account": one.account,
                    "owner": one.owner,
                    "amount": one.amount,
                    "key": one.key,
                    "destination": one.destination,
                    "resumed": True,
                }
                with suppress(WorkflowAlreadyStartedError):
                    await self._client.start_workflow(
                        WITHDRAWAL_WORKFLOW,
                        request,
                        id=withdrawal_workflow_id(one.account, one.key),
                        task_queue=self._task_queue,
                        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                        static_summary=f"Withdrawal of account {one.account}, taken up",
                    )
