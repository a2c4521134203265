"""What every command needs that signs for the escrow: the escrow, a key wherever it is kept, a transaction until its fate is known."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import typer
from solders.pubkey import Pubkey

from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, forbid_core_dumps
from chain.layout import EscrowState, LayoutMismatch
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Expired, Landed, send_until
from chain.signers.interface import Signer, SigningFailed
from chain.signers.opening import open_signer
from chain.transactions import SignedTransaction
from endings import told
from places import rpc_url
from settings import Settings
from wiring import escrow_client, operator_signer

WRONG, UNKNOWN = 1, 2
LAND_S: Final = 180.0
"""Longer than a blockhash lives: by then the transaction has landed or never will."""
Price = Annotated[int, typer.Option(min=0, help="micro-lamports per compute unit")]


class Refused(Exception):
    """A precondition does not hold, or the chain did not take it: nothing was changed."""


class Undecided(Exception):
    """What was sent may still land."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; what was refused, and what could not be asked or read, is a sentence and an exit code."""
    with told():
        try:
            return asyncio.run(work)
        except Refused as error:
            print(f"nothing was done: {error}", file=sys.stderr)
            raise typer.Exit(WRONG) from None
        except Undecided as error:
            print(error, file=sys.stderr)
            raise typer.Exit(UNKNOWN) from None
        except ChainUnavailable as error:
            print(f"The chain at {rpc_url(Settings())} does not tell: {error}", file=sys.stderr)
            raise typer.Exit(UNKNOWN) from None
        except LayoutMismatch as error:
            print(f"What lies at the escrow's address cannot be read: {error}", file=sys.stderr)
            raise typer.Exit(WRONG) from None


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[EscrowClient]:
    """The configured escrow; its connection is closed at the end.

    Without ESCROW_ADMIN it is that of the operator's key, where there is one: none is made.
    """
    if not settings.escrow_admin:
        _must_have_operator(settings)
    try:
        client = await escrow_client(settings)
    except ValueError as error:
        raise Refused(
            f"ESCROW_ADMIN, ESCROW_PROGRAM and ESCROW_MINT are public keys in base58: {error}"
        ) from None
    try:
        yield client
    finally:
        await client.client.close()


@asynccontextmanager
async def signer_at(settings: Settings, place: str) -> AsyncIterator[Signer]:
    """The key at `place` (file:, awskms:, vault:), or the operator's. None is made: a key that nobody knows must not become an
    escrow's."""
    if not place:
        _must_have_operator(settings)
        async with operator_signer(settings) as signer:
            yield signer
        return
    forbid_core_dumps()
    try:
        async with open_signer(place) as signer:
            yield signer
    except KeyFileRefused as error:
        raise Refused(f"{error} ({error.code})") from None
    except SigningFailed as error:
        raise Refused(f"the key does not sign: {error} ({error.code})") from None


async def state_of(client: EscrowClient) -> EscrowState:
    """The finalized escrow. Raises `Refused` when there is none."""
    state = await client.view.escrow_state(FINALIZED)
    if state is None:
        raise Refused(f"there is no escrow at {client.addresses.escrow}: correct ESCROW_ADMIN")
    return state


async def land(client: EscrowClient, building: Awaitable[SignedTransaction], what: str) -> None:
    """Send until it is final. Raises `Refused` when it never will be, `Undecided` when that is not known after `LAND_S`.

    `what` goes on from "the chain did not".
    """
    signed = await building
    try:
        async with asyncio.timeout(LAND_S):
            fate = await send_until(client.client, signed, FINALIZED)
    except TimeoutError:
        raise Undecided(f"not decided after {LAND_S:.0f} s: ask for {signed.signature}") from None
    if not isinstance(fate, Landed):
        why = "it expired: run this again" if isinstance(fate, Expired) else fate.code
        raise Refused(f"the chain did not {what}: {why}")


def public_key(name: str, text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise typer.BadParameter(f"{name} is no public key in base58: {error}") from None


def _must_have_operator(settings: Settings) -> None:
    if not settings.operator_key and not (settings.perpdex_data / "keys" / "operator.json").exists():
        raise Refused(
            "there is no operator's key here: set OPERATOR_KEY, or PERPDEX_DATA, or where it is not needed ESCROW_ADMIN"
        )
