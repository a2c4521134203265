"""`perpdex escrow own`: what the keys of the treasury's and the insurance fund's slots do, which nobody else can."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Final

import typer

from chain.cluster import ClusterView
from chain.escrow import EscrowClient
from chain.layout import Slot
from chain.owning import EVERYTHING, OwnerTransactions
from chain.rpc import FINALIZED
from chain.signers.interface import Signer
from cli.cluster_checks import usdc
from cli.custody_tables import utc
from cli.governing import must_be
from cli.on_chain import Price, Refused, client_of, land, run, signer_at, state_of
from cli.terms import micro_usdc
from core.accounts import INSURANCE, TREASURY
from settings import Settings

own = typer.Typer(
    no_args_is_help=True, help="The slots of treasury and insurance fund: pay in, ask for money, claim it."
)
PAGE: Final = 0


class Own(StrEnum):
    """Whose slot."""

    TREASURY = "treasury"
    INSURANCE = "insurance"


SLOTS: Final = {Own.TREASURY: TREASURY - 1, Own.INSURANCE: INSURANCE - 1}
Work = Callable[[EscrowClient, Signer, Slot], Awaitable[None]]
Whose = Annotated[Own, typer.Option("--slot", help="whose slot")]
Key = Annotated[
    str, typer.Option(help="where the slot's key is: file:, awskms:, vault:; keys/SLOT.json when left out")
]
Amount = Annotated[int, typer.Option(parser=micro_usdc, metavar="USDC", help="in USDC, such as 500.25")]


@own.command()
def deposit(slot: Whose, amount: Amount, key: Key = "", price: Price = 0) -> None:
    """Pay USDC into the slot, out of the associated token account of its key."""

    async def pay(client: EscrowClient, signer: Signer, there: Slot) -> None:
        if amount <= 0:
            raise Refused("a deposit is more than nothing")
        wallet = client.wallet_of(signer.pubkey)
        (has,) = await client.view.tokens([wallet])
        if has < amount:
            raise Refused(f"the token account {wallet} of the key has {usdc(has)}: send it USDC")
        build = partial(client.build_deposit, signer, PAGE, there.index, amount)
        await land(client, build, "take it", price)
        print(
            f"{usdc(amount)} are in the {slot} slot; the books have them within seconds while a worker runs"
        )

    run(_as_owner(slot, key, pay))


@own.command()
def ask(
    slot: Whose,
    key: Key = "",
    amount: Annotated[
        int | None, typer.Option(parser=micro_usdc, metavar="USDC", help="at most; everything when left out")
    ] = None,
    price: Price = 0,
) -> None:
    """Ask the chain for the slot's money, to be claimed after the exit delay. The fund takes nothing over with it from then on."""

    async def request(client: EscrowClient, signer: Signer, there: Slot) -> None:
        if amount is not None and amount <= 0:
            raise Refused("what is asked for is more than nothing")
        if there.exit_at:
            raise Refused(
                f"{_asked(there)} is asked for already, to be claimed from {utc(there.exit_at)}: cancel that first, which begins the "
                "delay anew"
            )
        if not there.balance:
            raise Refused("the slot is empty")
        wanted = EVERYTHING if amount is None else amount
        build = partial(OwnerTransactions(client).build_request_withdrawal, signer, PAGE, there.index, wanted)
        await land(client, build, "take note of it", price)
        there = await _slot_of(client, slot)
        print(
            f"{_asked(there)} can be claimed from {utc(there.exit_at)} on: `perpdex escrow own claim --slot {slot}`. Until then it is "
            "told as OwnExitAsked"
        )

    run(_as_owner(slot, key, request))


@own.command()
def cancel(slot: Whose, key: Key = "", price: Price = 0) -> None:
    """Take back what was asked for, whoever asked with the slot's key."""

    async def take_back(client: EscrowClient, signer: Signer, there: Slot) -> None:
        if not there.exit_at:
            raise Refused("nothing is asked for")
        build = partial(OwnerTransactions(client).build_cancel_withdrawal_request, signer, PAGE, there.index)
        await land(client, build, "take it back", price)
        print(f"{_asked(there)} is not asked for any more; if that was not you, somebody else has the key")

    run(_as_owner(slot, key, take_back))


@own.command()
def claim(slot: Whose, key: Key = "", price: Price = 0) -> None:
    """Take what was asked for, or what there is when that is less, once the exit delay is over."""

    async def take(client: EscrowClient, signer: Signer, there: Slot) -> None:
        if not there.exit_at:
            raise Refused(f"nothing is asked for: `perpdex escrow own ask --slot {slot}`")
        if await client.view.clock() < there.exit_at:
            raise Refused(f"{_asked(there)} can be claimed from {utc(there.exit_at)} on: run this again then")
        wallet = client.wallet_of(signer.pubkey)
        build = partial(OwnerTransactions(client).build_claim_withdrawal, signer, PAGE, there.index)
        await land(client, build, f"pay it to the token account {wallet}", price)
        left = await _slot_of(client, slot)
        print(f"it is paid to {wallet}; {usdc(left.balance)} are left in the {slot} slot")

    run(_as_owner(slot, key, take))


async def _as_owner(slot: Own, key: str, work: Work) -> None:
    """Do it with the slot as it is finalized, once the key is known to be its owner's and able to pay the fee."""
    settings = Settings()
    place = key or f"file:{settings.perpdex_data / 'keys' / f'{slot}.json'}"
    async with client_of(settings) as client, signer_at(settings, place) as signer:
        await state_of(client)
        there = await _slot_of(client, slot)
        must_be(f"owner of the {slot} slot", there.owner, signer)
        if not await ClusterView(client.client).lamports(signer.pubkey):
            raise Refused(f"the key {signer.pubkey} has no SOL for the fee: send it 0.001")
        await work(client, signer, there)


async def _slot_of(client: EscrowClient, slot: Own) -> Slot:
    page = await client.view.page(PAGE, FINALIZED)
    if page is None:
        raise Refused("the escrow's first page is not there")
    return page.slots[SLOTS[slot]]


def _asked(slot: Slot) -> str:
    return "everything" if slot.pending == EVERYTHING else f"up to {usdc(slot.pending)}"
