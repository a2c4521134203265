"""Whether journal and escrow belong together, asked before anybody trades: what one of them lost, the other cannot make up for."""

import asyncio
from typing import Final, NamedTuple

import structlog
from solana.rpc.async_api import AsyncClient

from chain.escrow_view import EscrowView
from chain.layout import EscrowState, LayoutMismatch, Page
from chain.rpc import ChainUnavailable
from core.accounts import FIRST_AGENT
from core.hosts import only_hosts
from matcher.state import Exchange
from places import rpc_url
from settings import Settings
from wiring import escrow_addresses

ASK_AGAIN_S: Final = 1.0
_log = structlog.get_logger("fitting")


class DoesNotFit(Exception):
    """The escrow is not the one that the journal settled on. The text says what each of them knows, and what to do."""


class Known(NamedTuple):
    """What a journal knew of its escrow at the start: the newest cut's number, credited deposits, registered agents."""

    cut: int
    deposits: int
    agents: int


def known(state: Exchange) -> Known:
    cut = state.cut.batch if state.cut is not None else 0
    return Known(cut, len(state.deposits), state.next_account - FIRST_AGENT)


def misfit(journal: Known, escrow: EscrowState | None, pages: tuple[Page, ...]) -> str:
    """Why they do not belong together, and what to do; empty when nothing shows that.

    Only a journal without any cut can be told to be new or lost: the chain may have more batches than a journal with cuts where a
    thief of the operator's key sealed some, and fewer where the node is behind. Reconciliation sees what is left.
    """
    if journal.deposits and (escrow is None or not escrow.deposit_count):
        has = "there is no escrow" if escrow is None else "the escrow has never taken one"
        return (
            f"the journal has credited {journal.deposits} deposits, and {has}: bring back the chain that they were made on, or "
            "correct SOLANA_RPC_URL, ESCROW_ADMIN and OPERATOR_KEY; to begin anew set PERPDEX_DATA to an empty directory"
        )
    if journal.cut or escrow is None:
        return ""
    used = f"the escrow has been used, up to batch {escrow.sealed_batch} and deposit {escrow.deposit_count}"
    theirs = any(slot.account >= FIRST_AGENT for page in pages for slot in page.slots)
    if escrow.sealed_batch or (escrow.deposit_count and theirs and not journal.agents):
        return (
            f"{used}, and the journal knows nothing of that: account numbers would begin anew and meet other owners' slots. "
            "Restore the journal from its last copy, or set PERPDEX_DATA to where it is; with the journal lost for good, pay out "
            "the slots and begin with another escrow"
        )
    return ""


async def compared(settings: Settings, journal: Known) -> bool:
    """Compare once with the chain; False when the node does not tell. Raises `DoesNotFit`."""
    addresses = await escrow_addresses(settings)
    where = f"{settings.perpdex_data / 'journal'} and the escrow {addresses.escrow} at {only_hosts(rpc_url(settings))}"
    async with AsyncClient(rpc_url(settings), timeout=10) as client:
        view = EscrowView(client, addresses)
        try:
            escrow = await view.escrow_state()
            # Whose slots there are matters only to a journal in which nobody is.
            pages = await view.pages() if escrow is not None and not journal.agents else ()
        except ChainUnavailable:
            return False
        except LayoutMismatch as error:
            raise DoesNotFit(f"{where} do not belong together: {error}") from error
    if why := misfit(journal, escrow, pages):
        raise DoesNotFit(f"{where} do not belong together: {why}")
    return True


async def compare_later(settings: Settings, journal: Known, stopped: asyncio.Event) -> None:
    """Ask until the node tells. Sets `stopped` and raises `DoesNotFit` when it tells that they do not belong together."""
    _log.warning("the node does not say whether the escrow is this journal's, and is asked until it does")
    try:
        while not await compared(settings, journal):
            await asyncio.sleep(ASK_AGAIN_S)
    except DoesNotFit:
        stopped.set()
        raise
