"""What every command needs that signs for the escrow: the escrow, a key wherever it is kept, a transaction until its fate is known."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Protocol

import typer
from solders.pubkey import Pubkey

from chain.bids import next_offer
from chain.escrow import EscrowClient
from chain.keys import KeyFileRefused, forbid_core_dumps
from chain.layout import EscrowState, LayoutMismatch
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Expired, Landed, send_until
from chain.send import Refused as NotTaken
from chain.signers.interface import Signer, SigningFailed
from chain.signers.opening import open_signer
from chain.transactions import SignedTransaction
from core.hosts import only_hosts
from endings import told
from places import rpc_url
from settings import Settings
from wiring import escrow_client, operator_signer

WRONG, UNKNOWN = 1, 2
LAND_S: Final = 180.0
"""Longer than a blockhash lives: by then the transaction has landed or never will."""
Price = Annotated[
    int,
    typer.Option(min=0, help="micro-lamports per compute unit; doubled after each transaction that expired"),
]


class Build(Protocol):
    """Builds and signs a transaction at a price in micro-lamports per compute unit."""

    def __call__(self, *, price: int) -> Awaitable[SignedTransaction]: ...


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
            print(f"The chain at {only_hosts(rpc_url(Settings()))} does not tell: {error}", file=sys.stderr)
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


async def land(client: EscrowClient, build: Build, what: str, price: int = 0) -> None:
    """Send until it is final. Raises `Refused` when it never will be, `Undecided` when that is not known after `LAND_S`.

    `build` signs with a priority fee in micro-lamports per compute unit: `price` first, twice as much after each transaction that
    expired, which is told. What the key has too little SOL for is offered no more. `what` goes on from "the chain did not".
    """
    offer, let_through, short = price, 0, False
    while True:
        signed = await build(price=offer)
        try:
            async with asyncio.timeout(LAND_S):
                fate = await send_until(client.client, signed, FINALIZED)
        except TimeoutError:
            raise Undecided(f"not decided after {LAND_S:.0f} s: ask for {signed.signature}") from None
        if isinstance(fate, Landed):
            return
        if isinstance(fate, Expired):
            let_through = offer
            # One that expired can land no more, so another one does the same thing once.
            more = offer if short else next_offer(price, price, offer)
            if more == offer:
                raise Refused(
                    f"the chain did not {what}: it expired at the most that is offered, {offer} micro-lamports per compute unit: run "
                    "this again with a higher --price"
                )
            offer = more
            print(f"it expired; it is sent again and {_offers(offer)}", file=sys.stderr)
        elif isinstance(fate, NotTaken) and fate.payer_short and offer:
            offer, short = let_through if let_through < offer else 0, True
            print(
                f"the key has too little SOL for that offer; it is sent again and {_offers(offer)}",
                file=sys.stderr,
            )
        else:
            raise Refused(f"the chain did not {what}: {fate.code}")


def _offers(price: int) -> str:
    return f"offers {price} micro-lamports per compute unit"


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
