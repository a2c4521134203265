"""Taking up withdrawals that nobody works on: a reservation whose workflow was terminated, was lost with Temporal's database, or ended
without closing it."""

from time import time_ns
from typing import Final

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.engine_door import EngineDoor, OpenWithdrawal
from activities.heartbeats import heartbeats
from core.quantities import SECOND
from matcher.rejections import Code

WITHDRAWAL_WORKFLOW: Final = "WithdrawalWorkflow"
FAILED_ONLY: Final = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
REFUSED: Final = "refused"
"""The status with which a workflow ends that never had a reservation to work on."""
FOUND_ANOTHER: Final = frozenset({Code.KEY_CONFLICT.value, "withdrawal_closed"})
"""Refusals that tell of an earlier workflow under the key, of which nothing else may be known."""


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
        """Start the workflow of each withdrawal that has been open for so many seconds, unless it runs.

        It goes on where the journal and the signed bytes stand, to the destination that the journal has. One that has ended by itself
        and left the reservation open (as refused, by an earlier version, after an answer of the engine's was lost) is begun anew, and
        not as one of whom nobody knows what was signed, where it never had anything signed.
        """
        before = time_ns() - int(older_than_s * SECOND)
        async with heartbeats():
            forgotten = [one for one in await self._door.open_withdrawals() if one.at <= before]
            ended = [one for one in forgotten if not await self._start(one, FAILED_ONLY, resumed=True)]
            if not ended:
                return
            # An end closes the reservation first: what the engine lists as open after that end was left behind by it.
            left = {(one.account, one.key) for one in await self._door.open_withdrawals()}
            for one in ended:
                if (one.account, one.key) in left:
                    resumed = not await self._never_signed(one)
                    await self._start(one, WorkflowIDReusePolicy.ALLOW_DUPLICATE, resumed=resumed)

    async def _never_signed(self, one: OpenWithdrawal) -> bool:
        """Whether its last workflow ended as refused and was the first of all under that key: nobody was handed anything to sign.

        Of one that took up another's, or that found the amount reserved or closed by another, this says nothing.
        """
        id = withdrawal_workflow_id(one.account, one.key)
        last = await self._client.get_workflow_handle(id).describe()
        if last.status != WorkflowExecutionStatus.COMPLETED:
            return False
        ended = await self._client.get_workflow_handle(id, run_id=last.run_id).result()
        return (
            ended["status"] == REFUSED
            and ended["code"] not in FOUND_ANOTHER
            and ended["request"].get("resumed") is False
        )

    async def _start(self, one: OpenWithdrawal, reuse: WorkflowIDReusePolicy, *, resumed: bool) -> bool:
        """Whether its workflow runs now; of one that runs there is never a second."""
        request = {
            "account": one.account,
            "owner": one.owner,
            "amount": one.amount,
            "key": one.key,
            "destination": one.destination,
            "resumed": resumed,
        }
        try:
            await self._client.start_workflow(
                WITHDRAWAL_WORKFLOW,
                request,
                id=withdrawal_workflow_id(one.account, one.key),
                task_queue=self._task_queue,
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"Withdrawal of account {one.account}, taken up",
            )
        except WorkflowAlreadyStartedError:
            return False
        return True
