"""`perpdex escrow`, `perpdex settlement abort` and `carry`: what people do on chain by hand, with preconditions checked first."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey
from sqlalchemy.exc import SQLAlchemyError
from temporalio.exceptions import ApplicationError

from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, KeypairSigner
from chain.layout import EscrowState, LayoutMismatch
from chain.limits import PROPOSAL_GRACE_S
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Landed, send_until
from chain.signers.interface import SigningFailed
from chain.transactions import SignedTransaction
from cli.custody import escrow
from cli.reconciling import settlement
from core.batches import BatchStatus
from endings import NotReachable
from ledger.database import open_pool
from ledger.settlement import Settlement
from settings import Settings
from wiring import database_url, engine_door, escrow_client, operator_signer

Key = Annotated[Path, typer.Option(help="a key file, as solana-keygen writes it")]
UNUSABLE: Final = (
    *(ChainUnavailable, LayoutMismatch, KeyFileRefused, SigningFailed, NotReachable),
    *(SQLAlchemyError, ApplicationError, OSError, ValueError),
)


class Refused(Exception):
    """A precondition does not hold: nothing was sent."""


@escrow.command()
def status() -> None:
    """Keys, the open batch, and the pending proposal, all final."""

    async def look(settings: Settings) -> None:
        async with _client(settings) as client:
            print("\n".join(_lines(client, await _state(client), int(time.time()))))

    _run(look)


@escrow.command("propose-operator")
def propose_operator(
    key: Annotated[str, typer.Argument(help="public key of the new operator, in base58")],
    admin: Key,
) -> None:
    """Announce another operator. It takes effect by `execute` after the timelock; everything else stays as it is."""

    async def propose(settings: Settings) -> None:
        async with _client(settings) as client:
            state, signer = await _state(client), KeypairSigner.load(admin)
            wanted = replace(state.settings, operator=Pubkey.from_string(key))
            if signer.pubkey != state.admin:
                raise Refused(f"the admin is {state.admin}, the key is {signer.pubkey}")
            if wanted == state.settings:
                raise Refused(f"{key} is the operator already")
            if state.proposal is not None and time.time() < state.proposal.ready_at + PROPOSAL_GRACE_S:
                raise Refused(f"proposal {state.proposal.number} is pending: cancel it first")
            await _land(client, client.governance.build_propose(signer, wanted))
            print("\n".join(_lines(client, await _state(client), int(time.time()))))

    _run(propose)


@escrow.command("cancel-proposal")
def cancel_proposal(admin: Key) -> None:
    """Take the pending proposal back."""

    async def cancel(settings: Settings) -> None:
        async with _client(settings) as client:
            if (await _state(client)).proposal is None:
                raise Refused("no proposal is pending")
            await _land(client, client.governance.build_cancel_proposal(KeypairSigner.load(admin)))
            print("the proposal is taken back")

    _run(cancel)


@escrow.command("execute-proposal")
def execute_proposal(payer: Key) -> None:
    """Put the pending proposal into effect. Any key may pay for that, once the timelock has run out."""

    async def execute(settings: Settings) -> None:
        async with _client(settings) as client:
            proposal = (await _state(client)).proposal
            if proposal is None:
                raise Refused("no proposal is pending")
            if time.time() < proposal.ready_at:
                raise Refused(f"the timelock runs until {_utc(proposal.ready_at)}")
            await _land(client, client.governance.build_execute_proposal(KeypairSigner.load(payer)))
            print("\n".join(_lines(client, await _state(client), int(time.time()))))

    _run(execute)


@settlement.command()
def abort() -> None:
    """Give up the batch that is open on chain.

    Only while settlement is held, no page of the batch is settled, and it is not this ledger's own.
    """

    async def give_up(settings: Settings) -> None:
        async with _client(settings) as client, operator_signer(settings) as operator:
            await _must_be_held(settings)
            state = await _open(client)
            if state.pages_settled:
                raise Refused(
                    f"batch {state.open_batch} has {state.pages_settled} pages settled: it can only be finished"
                )
            if await _ours(settings, state.root):
                raise Refused(f"batch {state.open_batch} is this ledger's own: the workflow finishes it")
            await _land(client, client.build_abort_batch(operator, state.open_batch))
            print(f"batch {state.open_batch} is given up: the next one has its number")

    _run(give_up)


@settlement.command()
def carry() -> None:
    """Seal the open batch although it took more than it gave: what is left over waits for the next. Only while settlement is held."""

    async def seal(settings: Settings) -> None:
        async with _client(settings) as client, operator_signer(settings) as operator:
            await _must_be_held(settings)
            state = await _open(client)
            if state.pages_settled < state.pages_total:
                raise Refused(
                    f"batch {state.open_batch} has {state.pages_settled} of {state.pages_total} pages: they come first"
                )
            if not state.clearing:
                raise Refused(f"batch {state.open_batch} has nothing left over: it is sealed as any other")
            await _land(client, client.build_carry_batch(operator, state.open_batch))
            print(f"batch {state.open_batch} is sealed; {state.clearing} micro-USDC are left for the next")

    _run(seal)


def _run(what: Callable[[Settings], Awaitable[None]]) -> None:
    """What does not go is one sentence and exit code 1."""

    settings = Settings()

    async def run() -> None:
        await what(settings)

    try:
        asyncio.run(run())
    except (Refused, *UNUSABLE) as error:
        print(f"nothing was done: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[EscrowClient]:
    client = await escrow_client(settings)
    try:
        yield client
    finally:
        await client.client.close()


async def _state(client: EscrowClient) -> EscrowState:
    state = await client.view.escrow_state(FINALIZED)
    if state is None:
        raise Refused(f"there is no escrow at {client.addresses.escrow}")
    return state


async def _open(client: EscrowClient) -> EscrowState:
    state = await _state(client)
    if not state.open_batch:
        raise Refused("no batch is open on chain")
    return state


async def _must_be_held(settings: Settings) -> None:
    door = engine_door(settings)
    try:
        if not (await door.state()).settlement_held:
            raise Refused("settlement goes on: hold it first (perpdex settlement hold)")
    finally:
        await door.close()


async def _ours(settings: Settings, root: bytes) -> bool:
    """Whether a batch that the ledger has and that is not final has this root."""
    pool = open_pool(database_url(settings))
    try:
        ledger = Settlement(pool)
        newest = await ledger.last_cut()
        if newest is None or newest[1] == BatchStatus.FINAL:
            return False
        stored = await ledger.load_batch(newest[0])
        # One that is cut and not stored may be this one: it is stored again, the same to the byte.
        return stored is None or stored.root == root
    finally:
        await pool.dispose()


async def _land(client: EscrowClient, building: Awaitable[SignedTransaction]) -> None:
    fate = await send_until(client.client, await building, FINALIZED)
    if not isinstance(fate, Landed):
        raise Refused(f"the chain did not take it: {fate}")


def _lines(client: EscrowClient, state: EscrowState, now: int) -> list[str]:
    lines = [
        f"escrow {client.addresses.escrow}: admin {state.admin}, operator {state.operator}, guardian {state.guardian}",
        f"open batch: {state.open_batch or 'none'}, {state.pages_settled} of {state.pages_total} pages settled, "
        f"clearing {state.clearing}, settlement {'paused' if state.paused else 'not paused'}",
    ]
    proposal = state.proposal
    if proposal is not None:
        until = proposal.ready_at + PROPOSAL_GRACE_S
        when = "lapsed" if now >= until else f"from {_utc(proposal.ready_at)} until {_utc(until)}"
        lines.append(
            f"proposal {proposal.number}: admin {proposal.settings.admin}, operator {proposal.settings.operator}, "
            f"guardian {proposal.settings.guardian}; {when}"
        )
    return lines


def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))
