"""`perpdex settlement retry`: have a batch taken up anew whose number on chain is somebody else's."""

from datetime import timedelta
from typing import Any, Final

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.numbering import Owned
from chain.rpc import FINALIZED
from cli.door import Door, NotDone, token_of
from cli.on_chain import Refused, client_of, run, state_of
from cli.open_batch import must_be_held
from cli.reconciling import As, Why
from core.batches import BatchStatus
from ledger.database import open_pool
from ledger.settlement import Settlement, StoredBatch
from matcher.commands import RetryBatch
from places import database_url
from settings import Settings
from wiring import temporal_client
from workflows.batch import BatchWorkflow
from workflows.settlement import batch_workflow_id

TAKEN: Final = "other_batch_taken"
"""The one trouble that does not end by itself, and that taking the batch up anew ends."""
PATIENCE: Final = timedelta(seconds=20)
"""How long Temporal and the worker may take to say what a batch does."""


def retry(why: Why, name: As = "operator") -> None:
    """Take the batch that is not final up anew, from its first step, because somebody else has its number on chain.

    Only while settlement is held, no batch is open on chain, ours has no number there, and its workflow says `other_batch_taken`.
    """

    async def take_up(settings: Settings) -> None:
        await must_be_held(settings)
        stored = await _without_a_number(settings)
        handle = await _troubled(settings, stored.batch)
        _note(settings, RetryBatch(stored.batch, why=why), name)
        try:
            await handle.signal(BatchWorkflow.take_up_anew, rpc_timeout=PATIENCE)
        except RPCError as error:
            raise Refused(f"its workflow was not told ({error.message}): run this again") from None
        print(f"batch {stored.batch} is taken up anew: on chain it gets the next number")

    run(take_up(Settings()))


async def _without_a_number(settings: Settings) -> StoredBatch:
    """The batch that the ledger has and that is not final. Raises `Refused` unless the chain, finally, has no batch open, and it is
    under no number there."""
    pool = open_pool(database_url(settings))
    try:
        async with client_of(settings) as client:
            ledger = Settlement(pool)
            newest, status = await ledger.last_cut() or (0, BatchStatus.FINAL)
            if status == BatchStatus.FINAL:
                raise Refused("no batch is under way: every one that was cut is final")
            opened = (await state_of(client)).open_batch
            if opened:
                raise Refused(
                    f"batch {opened} is open on chain: finish it first (perpdex settlement carry, or abort), "
                    "unless it is this ledger's own"
                )
            stored = await ledger.load_batch(newest)
            if stored is None:
                raise Refused(f"batch {newest} is not stored yet: its workflow does it")
            number = await Owned(client, ledger).number_of(stored, FINALIZED)
            if number:
                raise Refused(f"batch {newest} is number {number} on chain: its workflow finishes it")
            return stored
    except ApplicationError as error:
        raise Refused(f"it is not known what the chain has of it: {error.message}") from None
    finally:
        await pool.dispose()


async def _troubled(settings: Settings, batch: int) -> WorkflowHandle[Any, Any]:
    """The workflow of the batch. Raises `Refused` unless it runs and says that the number is somebody else's."""
    name = batch_workflow_id(batch)
    client = await temporal_client(settings)
    handle = client.get_workflow_handle(name)
    try:
        running = (await handle.describe(rpc_timeout=PATIENCE)).status == WorkflowExecutionStatus.RUNNING
        progress = await handle.query(BatchWorkflow.progress, rpc_timeout=PATIENCE) if running else None
    except RPCError as error:
        raise Refused(f"the workflow {name} does not say what it does: {error.message}") from None
    if progress is None:
        raise Refused(f"the workflow {name} does not run: the next round starts it")
    if not any(f": {TAKEN}: " in sentence for sentence in progress.trouble.values()):
        raise Refused(f"the workflow {name} does not say {TAKEN}: it goes on by itself")
    return handle


def _note(settings: Settings, command: RetryBatch, name: str) -> None:
    """In the journal, before anything is done: who, and why."""
    try:
        with Door(settings.api_url, token_of(settings, name)) as door:
            door.command(command)
    except NotDone as error:
        raise Refused(str(error)) from None
