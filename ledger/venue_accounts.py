"""Which account of a venue is which vault's: kept when it is first used, and from then on no other one is taken for it.

An account is one vault's, or both would hold the whole of what is there.
"""

from typing import Final

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables_vaults import vault_changes
from ledger.tables_venues import venue_cursors, venue_orders
from ledger.vaults import changed
from ledger.venue_orders import ENDED, Standing

GIVEN_UP: Final = "account given up at "
"""What is among a vault's changes, before the venue."""
_NEVER_SENT: Final = (Standing.ACCEPTED, Standing.REFUSED, Standing.NOT_SENT)


async def account_of(connection: AsyncConnection, vault: str, venue: str) -> str | None:
    """The account that a vault has at a venue; empty: one that nobody wrote down, None: none was ever used."""
    c = venue_cursors.c
    wanted = select(c.account).where(c.vault == vault, c.venue == venue)
    return (await connection.execute(wanted)).scalar_one_or_none()


async def account_had(connection: AsyncConnection, vault: str, venue: str) -> str | None:
    """As `account_of`, but empty also where an operator gave it up: somebody says which is the next, and none is made."""
    known = await account_of(connection, vault, venue)
    if known is not None:
        return known
    change = vault_changes.c
    given_up = exists().where(change.vault == vault, change.what == f"{GIVEN_UP}{venue}")
    return "" if (await connection.execute(select(given_up))).scalar_one() else None


async def begin_account(
    connection: AsyncConnection, vault: str, venue: str, account: str, fills: str, funding: str, now: int
) -> str | None:
    """Keep which account a vault has, and have reading begin at these cursors, unless it has begun, or something was sent there that
    is behind none of them.

    The account that it has from then on: that which it had before where there was one. None: the account is another vault's.
    """
    c = venue_cursors.c
    if await _sent(connection, vault, venue):
        fills = funding = ""
    row = insert(venue_cursors).values(
        vault=vault, venue=venue, fills=fills, funding=funding, moved_at=now, seen_at=0, account=account
    )
    await connection.execute(row.on_conflict_do_nothing())
    known = await account_of(connection, vault, venue)
    if known != "" or not account:
        return known
    try:
        async with connection.begin_nested():
            unnamed = update(venue_cursors).where(c.vault == vault, c.venue == venue, c.account == "")
            await connection.execute(unnamed.values(account=account))
    except IntegrityError:
        return None
    return await account_of(connection, vault, venue)


async def give_up_account(
    connection: AsyncConnection, vault: str, venue: str, who: str, why: str, now: int
) -> str | None:
    """Forget which account a vault has at a venue: the next that is used there is its account from then on, and what that did before
    is none of the vault's. Why not, as a sentence, else None."""
    o, c = venue_orders.c, venue_cursors.c
    under_way = exists().where(o.vault == vault, o.venue == venue, o.status.not_in(ENDED))
    if (await connection.execute(select(under_way))).scalar_one():
        return "an order of it there has not ended: take it back, or wait until it is known what became of it"
    gone = delete(venue_cursors).where(c.vault == vault, c.venue == venue).returning(c.account)
    account = (await connection.execute(gone)).scalar_one_or_none()
    if account is None:
        return "it has no account there"
    said = f"{why} (it was {account or 'not written down'})"
    await changed(connection, vault, f"{GIVEN_UP}{venue}", who, said, now)
    return None


async def _sent(connection: AsyncConnection, vault: str, venue: str) -> bool:
    """Whether something was sent from the account that the vault has now: its fills are still to be read."""
    o, change = venue_orders.c, vault_changes.c
    given_up = select(func.coalesce(func.max(change.at), -1)).where(
        change.vault == vault, change.what == f"{GIVEN_UP}{venue}"
    )
    sent = select(o.ticket).where(
        o.vault == vault,
        o.venue == venue,
        o.status.not_in(_NEVER_SENT),
        o.at > given_up.scalar_subquery(),
    )
    return (await connection.execute(sent.limit(1))).first() is not None
