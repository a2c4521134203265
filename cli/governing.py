"""`perpdex escrow pause|unpause|pending|cancel|execute`: what guardian and admin do on chain, with preconditions checked first."""

from functools import partial
from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey

from chain.escrow import EscrowClient
from chain.layout import EscrowState
from chain.limits import PROPOSAL_GRACE_S, Proposal
from chain.signers.interface import Signer
from cli.custody_tables import changed_rows, utc
from cli.on_chain import Price, Refused, client_of, land, run, signer_at, state_of
from settings import Settings

Guardian = Annotated[str, typer.Option(help="where the guardian's key is: file:, awskms:, vault:")]
Admin = Annotated[str, typer.Option(help="where the admin's key is: file:, awskms:, vault:")]
Payer = Annotated[str, typer.Option(help="where the key is that pays the fee: file:, awskms:, vault:")]

PAUSE_PRICE: Final = 100_000
"""Micro-lamports per compute unit that a pause offers first: 2,000 lamports, so that an emergency does not begin with finding out by
waiting what the chain asks."""


def pause(guardian: Guardian, price: Price = PAUSE_PRICE) -> None:
    """Stop settlement on chain. Deposits, withdrawals and exits go on. Repeating it changes nothing."""
    run(_set_pause(Settings(), guardian, True, price))


def unpause(guardian: Guardian, price: Price = 0) -> None:
    """Let settlement go on. Repeating it changes nothing."""
    run(_set_pause(Settings(), guardian, False, price))


def pending() -> None:
    """What is proposed, which settings it changes, and from when until when it can take effect."""

    async def look(settings: Settings) -> None:
        async with client_of(settings) as client:
            await tell_pending(client, await state_of(client))

    run(look(Settings()))


def cancel(admin: Admin, price: Price = 0) -> None:
    """Take the pending proposal back."""

    async def take_back(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, admin) as signer:
            state = await state_of(client)
            must_be("admin", state.admin, signer)
            proposal = _pending(state)
            await land(
                client,
                partial(client.governance.build_cancel_proposal, signer),
                "cancel the proposal",
                price,
            )
            print(f"proposal {proposal.number} is taken back")

    run(take_back(Settings()))


def execute(payer: Payer, price: Price = 0) -> None:
    """Put the pending proposal into effect. Any key may pay for that, once the timelock has run out."""

    async def put_into_effect(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, payer) as signer:
            proposal = _pending(await state_of(client))
            now = await client.view.clock()
            if now < proposal.ready_at:
                raise Refused(f"the timelock runs until {utc(proposal.ready_at)}")
            if proposal.lapsed(now):
                raise Refused(
                    f"proposal {proposal.number} has lapsed: the admin cancels it before another one"
                )
            await land(
                client,
                partial(client.governance.build_execute_proposal, signer),
                "execute the proposal",
                price,
            )
            print(f"proposal {proposal.number} is in effect: `perpdex escrow show`")

    run(put_into_effect(Settings()))


async def tell_pending(client: EscrowClient, state: EscrowState) -> None:
    proposal = state.proposal
    if proposal is None:
        print("no proposal is pending")
        return
    until = proposal.ready_at + PROPOSAL_GRACE_S
    if proposal.lapsed(await client.view.clock()):
        when = f"lapsed at {utc(until)}: it can only be cancelled"
    else:
        when = f"can be executed from {utc(proposal.ready_at)} until {utc(until)}"
    print(f"proposal {proposal.number} {when}")
    # No table: one as wide as two keys is cut at the edge of a terminal.
    for name, was, will in changed_rows(state.settings, proposal.settings):
        print(f"  {name}: {was} -> {will}")


def must_be(role: str, key: Pubkey, signer: Signer) -> None:
    if signer.pubkey != key:
        raise Refused(f"the {role} is {key}, the key is {signer.pubkey}")


def _pending(state: EscrowState) -> Proposal:
    if state.proposal is None:
        raise Refused("no proposal is pending")
    return state.proposal


async def _set_pause(settings: Settings, place: str, paused: bool, price: int) -> None:
    async with client_of(settings) as client, signer_at(settings, place) as guardian:
        must_be("guardian", (await state_of(client)).guardian, guardian)
        # Sent even when it is so already: what is final may be older than what somebody else has just sent.
        what = "pause settlement" if paused else "lift the pause"
        await land(client, partial(client.governance.build_set_pause, guardian, paused), what, price)
        print("settlement is paused" if paused else "settlement goes on")
