"""How a client has everything settled that was traded before it asks."""

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.settlement import BatchReceipt
from workflows.settlement import RUN_ENDED, SettlementWorkflow


async def settle_now(handle: WorkflowHandle[SettlementWorkflow, None]) -> BatchReceipt | None:
    """Have a whole settlement round begin and end after this call; the last final batch, `None` if there was none ever.

    Asks again when the run that it asked ends before the round, at once: the next run is there by then. Raises what
    `SettlementWorkflow.settle_now` fails with otherwise, as `WorkflowUpdateFailedError`.
    """
    while True:
        try:
            return await handle.execute_update(SettlementWorkflow.settle_now)
        except WorkflowUpdateFailedError as error:
            if not (isinstance(error.cause, ApplicationError) and error.cause.type == RUN_ENDED):
                raise
