"""`perpdex escrow close-page`: give up the last page of the escrow when nobody has a place in it; its rent comes back."""

from functools import partial

from temporalio.exceptions import ApplicationError

from chain.cluster import ClusterView
from chain.escrow_view import EscrowSnapshot
from chain.layout import Page
from chain.rpc import FINALIZED
from cli.on_chain import Price, Refused, client_of, land, run, signer_at, state_of
from cli.open_batch import must_be_held
from settings import Settings
from wiring import engine_door


def close_page(price: Price = 0) -> None:
    """Give up the last page on chain, whose rent goes to whoever paid it.

    Only while settlement is held, no batch is open, every account of the page is closed, finally, and the engine has done with it.
    """

    async def close(settings: Settings) -> None:
        async with client_of(settings) as client, signer_at(settings, "") as operator:
            await must_be_held(settings)
            await state_of(client)
            snapshot = await client.view.snapshot(FINALIZED)
            page = _last(snapshot)
            await _must_be_done_with(settings, snapshot, page)
            # What is in it, not what a page costs: clusters lower their rent, and whoever paid more gets more back.
            lamports = await ClusterView(client.client).lamports(client.addresses.page(page.index))
            await land(
                client,
                partial(client.build_close_page, operator, page.index, page.payer),
                f"close page {page.index}",
                price,
            )
            print(f"page {page.index} is closed: {lamports} lamports went to {page.payer}")

    run(close(Settings()))


def _last(snapshot: EscrowSnapshot) -> Page:
    """The page to close, as the program would take it."""
    state, page = snapshot.state, snapshot.pages[-1]
    if state.open_batch:
        raise Refused(f"batch {state.open_batch} is open on chain: it may have settled page {page.index}")
    if page.index == 0:
        raise Refused("page 0 has the treasury and the insurance fund: it stays")
    for slot in page.slots:
        if not 0 < slot.closed_batch <= state.sealed_batch or slot.balance:
            raise Refused(
                f"account {slot.account} has a place in page {page.index}: it is not closed, no batch was sealed since, or something "
                "came in afterwards"
            )
    return page


async def _must_be_done_with(settings: Settings, snapshot: EscrowSnapshot, page: Page) -> None:
    """A batch that gives or takes something of an account whose page is gone could not land.

    The engine is asked once it has booked all that owners took, since who claims may owe afterwards.
    """
    door = engine_door(settings)
    try:
        books = await door.books()
    except ApplicationError as error:
        raise Refused(f"the engine does not say which accounts it has done with: {error.message}") from None
    finally:
        await door.close()
    waits = snapshot.state.exits - books.claimed - books.claimed_astray
    if waits < 0:
        raise Refused("the node shows less than the engine has booked of what owners claimed: run this again")
    if waits:
        raise Refused(
            f"the engine has not booked yet all that owners claimed: {waits} micro-USDC are missing. Run this again; where it stays, "
            "the comparison says claims_pending, and the workflow deposits says why"
        )
    for slot in page.slots:
        if slot.account not in books.done_with:
            raise Refused(f"the exchange has not done with account {slot.account}: it may owe something yet")
