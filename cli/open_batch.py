"""`perpdex settlement abort` and `carry`: what people do by hand about the batch that is open on chain, when that may be done."""

from functools import partial

from temporalio.exceptions import ApplicationError

from activities.numbering import Owned
from chain.escrow import EscrowClient
from chain.layout import EscrowState
from chain.rpc import FINALIZED
from cli.on_chain import Refused, client_of, land, run, signer_at, state_of
from core.batches import BatchStatus
from ledger.database import open_pool
from ledger.settlement import Settlement
from places import database_url
from settings import Settings
from wiring import engine_door


def abort() -> None:
    """Give up the batch that is open on chain.

    Only while settlement is held, no page of the batch is settled, and it is not this ledger's own.
    """

    async def give_up(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, "") as operator:
            await must_be_held(settings)
            state = await _open(client)
            if state.pages_settled:
                raise Refused(
                    f"batch {state.open_batch} has {state.pages_settled} pages settled: it can only be finished"
                )
            if await _ours(settings, client, state.open_batch):
                raise Refused(f"batch {state.open_batch} is this ledger's own: the workflow finishes it")
            await land(
                client, partial(client.build_abort_batch, operator, state.open_batch), "give the batch up"
            )
            print(f"batch {state.open_batch} is given up: the next one has its number")

    run(give_up(Settings()))


def carry() -> None:
    """Finish the batch that somebody else left open: what it took and gave to nobody waits for the next one.

    Only while settlement is held, and not this ledger's own. Pages that it lacks are settled by a micro-USDC less in their first slot.
    """

    async def finish(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, "") as operator:
            await must_be_held(settings)
            state = await _open(client)
            if await _ours(settings, client, state.open_batch):
                raise Refused(f"batch {state.open_batch} is this ledger's own: the workflow finishes it")
            for page in await _lacking(client, state):
                settle = partial(client.build_settle_page, operator, state.open_batch, page, [(0, -1)])
                await land(client, settle, f"settle page {page}")
            state = await _open(client)
            seal = partial(
                client.build_carry_batch if state.clearing else client.build_seal_batch,
                operator,
                state.open_batch,
            )
            await land(client, seal, "seal the batch")
            print(f"batch {state.open_batch} is sealed; {state.clearing} micro-USDC are left for the next")

    run(finish(Settings()))


async def _lacking(client: EscrowClient, state: EscrowState) -> list[int]:
    """Pages that complete the open batch; the program takes no page without an account."""
    snapshot = await client.view.snapshot(FINALIZED)
    free = [page.index for page in snapshot.pages if page.last_batch < state.open_batch and page.slots]
    lacking = state.pages_total - state.pages_settled
    if lacking > len(free):
        raise Refused(
            f"batch {state.open_batch} wants {lacking} more pages, and {len(free)} have accounts: open accounts in the others first"
        )
    return free[:lacking]


async def _open(client: EscrowClient) -> EscrowState:
    state = await state_of(client)
    if not state.open_batch:
        raise Refused("no batch is open on chain")
    return state


async def must_be_held(settings: Settings) -> None:
    """Raises `Refused` unless the engine says that no batch is cut."""
    door = engine_door(settings)
    try:
        if not (await door.state()).settlement_held:
            raise Refused("settlement goes on: hold it first (perpdex settlement hold)")
    except ApplicationError as error:
        raise Refused(f"the engine does not say whether settlement is held: {error.message}") from None
    finally:
        await door.close()


async def _ours(settings: Settings, client: EscrowClient, number: int) -> bool:
    """Whether the batch of that number is one that the ledger has and that is not final."""
    pool = open_pool(database_url(settings))
    try:
        ledger = Settlement(pool)
        newest = await ledger.last_cut()
        if newest is None or newest[1] == BatchStatus.FINAL:
            return False
        stored = await ledger.load_batch(newest[0])
        # One that is cut and not stored may be this one: it is stored again, the same to the byte.
        return stored is None or await Owned(client, ledger).number_of(stored) == number
    except ApplicationError as error:
        raise Refused(f"it is not known whose batch {number} is: {error.message}") from None
    finally:
        await pool.dispose()
