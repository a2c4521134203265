"""Fills at outside venues, each written once with the position and the cash that it moves. Every function is one transaction.

Cash is reckoned as if everything were paid for in full: a purchase takes its price rounded up, a sale brings it rounded down, so that
cash and positions at their prices are a vault's value whatever margin a venue asks.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.nav import NAMED
from core.tickets import Leg, PriceE8, SizeE8, e8_text, notional_down, notional_up
from ledger.tables_venues import (
    venue_cursors,
    venue_differences,
    venue_doubts,
    venue_fills,
    venue_orders,
    venue_positions,
)
from ledger.vault_cash import move_cash
from ledger.vaults import changed
from ledger.venue_accounts import account_had, account_of, begin_account
from ledger.venue_doubts import EMPTY, SILENT, UNPRICED, Doubt, keep_doubts
from ledger.venue_orders import Standing, take_turn, tell

TRADE: Final = "trade"
FEE: Final = "fee"
FUNDING: Final = "funding"
DIFFERENCE: Final = "difference"
FORGOTTEN: Final = "payments forgotten"
"""What is among a vault's changes, with the venue as who did it."""

Event = tuple[str, dict[str, Any]]


class TakenFill(NamedTuple):
    """A fill as the venue tells it; `venue_client_id` is empty for an order that had none."""

    fill: str
    venue_client_id: str
    venue_order_id: str
    symbol: str
    side: int
    size: int
    price: int
    fee: int
    at: int


class Payment(NamedTuple):
    """Cash that came in without a fill, negative went out; micro-USDC. `kind` is funding where nothing else is said."""

    id: str
    symbol: str
    amount: int
    at: int
    kind: str = FUNDING


class SeenAccount(NamedTuple):
    """A vault's account at a venue, and when that last told everything of it; 0: nobody knows."""

    vault: str
    venue: str
    seen_at: int


class Difference(NamedTuple):
    """What the venue has instead of what the fills add up to, and the price that it is booked at.

    `standing` says whose word the price is, as in a snapshot's legs.
    """

    symbol: str
    ours: int
    theirs: int
    price: int
    standing: str = ""


def unpriced_words(ours: int, theirs: int) -> str:
    """What is said of a difference that nobody knows a price of."""
    return f"{e8_text(SizeE8(ours))} by its fills, {e8_text(SizeE8(theirs))} there, and nobody knows a price"


def empty_words(ours: int) -> str:
    """What is said of a position where the venue says that the account has nothing at all."""
    return f"{e8_text(SizeE8(ours))} by its fills, and the venue says that the account has nothing at all"


class VenueFills:
    """The part of the ledger that fills move."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def cursors(self, vault: str, venue: str) -> tuple[str, str]:
        """Up to where fills and funding are recorded; empty before the first."""
        c = venue_cursors.c
        wanted = select(c.fills, c.funding).where(c.vault == vault, c.venue == venue)
        async with self._engine.connect() as connection:
            row = (await connection.execute(wanted)).first()
            return ("", "") if row is None else (row.fills, row.funding)

    async def account(self, vault: str, venue: str) -> str | None:
        """As `ledger.venue_accounts.account_of`."""
        async with self._engine.connect() as connection:
            return await account_of(connection, vault, venue)

    async def account_had(self, vault: str, venue: str) -> str | None:
        """As `ledger.venue_accounts.account_had`."""
        async with self._engine.connect() as connection:
            return await account_had(connection, vault, venue)

    async def begin(
        self, vault: str, venue: str, account: str, fills: str, funding: str, now: int
    ) -> str | None:
        """As `ledger.venue_accounts.begin_account`."""
        async with self._engine.begin() as connection:
            return await begin_account(connection, vault, venue, account, fills, funding, now)

    async def accounts(self) -> list[SeenAccount]:
        """Every account in which something was ever sent or read, those first that were told of longest ago."""
        orders, cursors = venue_orders.c, venue_cursors.c
        both = union(
            select(orders.vault, orders.venue).where(orders.venue_client_id != ""),
            select(cursors.vault, cursors.venue),
        ).subquery()
        seen_at = func.coalesce(cursors.seen_at, 0)
        of_each = (cursors.vault == both.c.vault) & (cursors.venue == both.c.venue)
        wanted = select(both.c.vault, both.c.venue, seen_at).outerjoin_from(both, venue_cursors, of_each)
        async with self._engine.connect() as connection:
            rows = await connection.execute(wanted.order_by(seen_at, both.c.vault, both.c.venue))
            return [SeenAccount(*row) for row in rows]

    async def seen(self, vault: str, venue: str, at: int) -> None:
        """Keep that the venue has told everything of the account that there was at an instant."""
        c = venue_cursors.c
        later = update(venue_cursors).where(c.vault == vault, c.venue == venue, c.seen_at < at)
        async with self._engine.begin() as connection:
            await connection.execute(later.values(seen_at=at))

    async def held(self, vault: str) -> dict[str, dict[str, int]]:
        """A vault's positions by venue and symbol, without closed ones."""
        async with self._engine.connect() as connection:
            return await held_by(connection, vault)

    async def may_have_moved(self, vault: str, leg: Leg, since: int) -> bool:
        """Whether an order of the leg is at the venue, or was by an instant or later: its fills may be told and not recorded."""
        o = venue_orders.c
        there = o.status.in_((Standing.SENT, Standing.OPEN))
        ended = o.status.in_((Standing.FILLED, Standing.CANCELLED)) & (o.changed_at >= since)
        mine = (o.vault == vault) & (o.venue == leg.venue) & (o.symbol == leg.symbol)
        async with self._engine.connect() as connection:
            found = await connection.execute(select(o.ticket).where(mine, there | ended).limit(1))
            return found.first() is not None

    async def record(
        self, vault: str, venue: str, since: str, fills: Sequence[TakenFill], cursor: str, now: int
    ) -> list[TakenFill] | None:
        """Write what was read from `since` on; the fills that were new. None, and nothing done, when somebody else has read on."""
        async with self._engine.begin() as connection:
            if not await _at(connection, vault, venue, fills=since):
                return None
            new = await _added(connection, vault, venue, fills)
            await _moved(connection, vault, venue, now, fills=cursor)
            if new:
                await self._count(connection, vault, venue, new, now)
            return [fill for fill, _ in new]

    async def record_funding(
        self,
        vault: str,
        venue: str,
        since: str,
        payments: Sequence[Payment],
        cursor: str,
        now: int,
        forgotten: str = "",
    ) -> bool:
        """As `record`, for payments that the account received or made. Whether it was done.

        What the venue tells no more, a sentence, stays among the vault's changes.
        """
        async with self._engine.begin() as connection:
            if not await _at(connection, vault, venue, funding=since):
                return False
            moves = [(one.kind, one.id, one.amount, one.at) for one in payments]
            await _paid(connection, vault, venue, moves)
            await _moved(connection, vault, venue, now, funding=cursor)
            if forgotten:
                await changed(connection, vault, FORGOTTEN, venue, forgotten, now)
            return True

    async def correct(self, vault: str, venue: str, difference: Difference, now: int) -> bool:
        """Take over a position from the venue, and what it costs at the given price, so that nothing is gained or lost by that.

        False, and nothing done, when the ledger has another position by now.
        """
        async with self._engine.begin() as connection:
            await take_turn(connection, vault)
            held = await _lock(connection, vault, venue, difference.symbol, now)
            if held != difference.ours or difference.ours == difference.theirs:
                return False
            await _taken_over(connection, vault, venue, difference, now)
            return True

    async def price(
        self, vault: str, venue: str, symbol: str, theirs: int, price: int, who: str, why: str, now: int
    ) -> Difference | None:
        """Take over a position of which nobody knew a price, or whether it is gone, at the one that an operator names; it stays among
        the vault's changes.

        None, and nothing done, unless the last comparison found just that position there and had that doubt.
        """
        d = venue_doubts.c
        async with self._engine.begin() as connection:
            mine = (d.vault == vault) & (d.venue == venue) & (d.symbol == symbol)
            doubt = (await connection.execute(select(d.sentence).where(mine).with_for_update())).scalar()
            if doubt is None:
                return None
            await take_turn(connection, vault)
            ours = await _lock(connection, vault, venue, symbol, now)
            same = doubt == unpriced_words(ours, theirs) or (theirs == 0 and doubt == empty_words(ours))
            if not same or ours == theirs:
                return None
            await connection.execute(delete(venue_doubts).where(mine))
            found = Difference(symbol, ours, theirs, price, NAMED)
            await _taken_over(connection, vault, venue, found, now)
            what = f"{Leg(venue, symbol)} priced at {e8_text(PriceE8(price))}"
            await changed(connection, vault, what, who, why, now)
            return found

    async def silent(self, found: Mapping[tuple[str, str], str], now: int) -> None:
        """Keep of which accounts, by vault and venue, the venues do not tell, with a sentence each; no others."""
        rows = [Doubt(vault, venue, "", SILENT, sentence) for (vault, venue), sentence in found.items()]
        async with self._engine.begin() as connection:
            await keep_doubts(connection, venue_doubts.c.symbol == "", rows, now)

    async def unpriced(
        self,
        vault: str,
        venue: str,
        found: Mapping[str, str],
        now: int,
        empty: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Keep which positions differ from the venue's and have no price to be taken over at, and which are gone with all others, with
        a sentence each; no others."""
        d = venue_doubts.c
        mine = (d.vault == vault) & (d.venue == venue) & (d.symbol != "")
        rows = [
            Doubt(vault, venue, symbol, kind, sentence)
            for kind, some in ((UNPRICED, found), (EMPTY, empty))
            for symbol, sentence in some.items()
        ]
        async with self._engine.begin() as connection:
            await keep_doubts(connection, mine, rows, now)

    async def empty_since(self, vault: str, venue: str) -> int | None:
        """Since when a venue has said at each comparison that an account has nothing at all; None: it does not."""
        d = venue_doubts.c
        wanted = select(func.min(d.at)).where(d.vault == vault, d.venue == venue, d.kind == EMPTY)
        async with self._engine.connect() as connection:
            found: int | None = (await connection.execute(wanted)).scalar_one()
            return found

    async def not_empty(self, vault: str, venue: str) -> None:
        """The venue has said that an account has something: from now on it has not said so each time that there is nothing."""
        d = venue_doubts.c
        async with self._engine.begin() as connection:
            await connection.execute(
                delete(venue_doubts).where(d.vault == vault, d.venue == venue, d.kind == EMPTY)
            )

    async def _count(
        self,
        connection: AsyncConnection,
        vault: str,
        venue: str,
        new: Sequence[tuple[TakenFill, str]],
        now: int,
    ) -> None:
        """Move orders, positions and cash by fills, and tell of them."""
        # What another venue's fills change meanwhile is in the positions told below when it is before them in the stream.
        await take_turn(connection, vault)
        moves = []
        for fill, ticket in new:
            change = fill.side * fill.size
            held = await _lock(connection, vault, venue, fill.symbol, now)
            await _hold(connection, vault, venue, fill.symbol, held + change, now)
            moves += [(TRADE, fill.fill, _cost(change, fill.price), fill.at)]
            moves += [(FEE, fill.fill, -fill.fee, fill.at)]
            if ticket:
                filled = venue_orders.c.filled + fill.size
                grown = update(venue_orders).where(venue_orders.c.ticket == ticket)
                await connection.execute(grown.values(filled=filled, changed_at=now))
        await _paid(connection, vault, venue, moves)
        events: list[Event] = [
            ("fill", {"venue": venue, "ticket": ticket, **fill._asdict()}) for fill, ticket in new
        ]
        events.append(("position", {"positions": await held_by(connection, vault)}))
        await tell(connection, vault, now, events)


async def _taken_over(
    connection: AsyncConnection, vault: str, venue: str, difference: Difference, now: int
) -> None:
    symbol, ours, theirs, price, standing = difference
    await _hold(connection, vault, venue, symbol, theirs, now)
    row = insert(venue_differences).values(
        vault=vault, venue=venue, symbol=symbol, ours=ours, theirs=theirs, price=price, at=now
    )
    number = (await connection.execute(row.returning(venue_differences.c.number))).scalar_one()
    cost = _cost(theirs - ours, price)
    await _paid(connection, vault, venue, [(DIFFERENCE, str(number), cost, now)])
    sizes = {"ours": ours, "theirs": theirs}
    told = {"venue": venue, "symbol": symbol, **sizes, "price": price, "standing": standing}
    positions = await held_by(connection, vault)
    events: list[Event] = [("difference", told), ("position", {"positions": positions})]
    await tell(connection, vault, now, events)


async def held_by(connection: AsyncConnection, vault: str) -> dict[str, dict[str, int]]:
    """A vault's positions by venue and symbol, without closed ones."""
    c = venue_positions.c
    wanted = select(c.venue, c.symbol, c.size_e8).where(c.vault == vault, c.size_e8 != 0)
    found: dict[str, dict[str, int]] = {}
    for venue, symbol, size in await connection.execute(wanted.order_by(c.venue, c.symbol)):
        found.setdefault(venue, {})[symbol] = size
    return found


def _cost(change: int, price: int) -> int:
    """What a change of a position brings in, micro-USDC: a purchase takes it rounded up, a sale brings it rounded down."""
    if change > 0:
        return -notional_up(PriceE8(price), SizeE8(change))
    return notional_down(PriceE8(price), SizeE8(-change))


async def _at(connection: AsyncConnection, vault: str, venue: str, **where: str) -> bool:
    """Whether reading still begins at that cursor; then nobody else moves it before this transaction ends."""
    first = insert(venue_cursors).values(
        vault=vault, venue=venue, fills="", funding="", moved_at=0, seen_at=0, account=""
    )
    await connection.execute(first.on_conflict_do_nothing())
    c = venue_cursors.c
    row = select(c.fills, c.funding).where(c.vault == vault, c.venue == venue).with_for_update()
    found = (await connection.execute(row)).one()._mapping
    return all(found[name] == cursor for name, cursor in where.items())


async def _moved(connection: AsyncConnection, vault: str, venue: str, now: int, **to: str) -> None:
    c = venue_cursors.c
    row = update(venue_cursors).where(c.vault == vault, c.venue == venue)
    await connection.execute(row.values(moved_at=now, **to))


async def _added(
    connection: AsyncConnection, vault: str, venue: str, fills: Sequence[TakenFill]
) -> list[tuple[TakenFill, str]]:
    """Those that were not there, each with the ticket of the order that it fills, or nothing."""
    c = venue_orders.c
    names = {fill.venue_client_id for fill in fills if fill.venue_client_id}
    known = select(c.venue_client_id, c.ticket).where(
        c.vault == vault, c.venue == venue, c.venue_client_id.in_(names)
    )
    tickets = {row.venue_client_id: row.ticket for row in await connection.execute(known)}
    new = []
    for fill in fills:
        ticket = tickets.get(fill.venue_client_id, "")
        values = fill._asdict()
        del values["venue_client_id"]
        row = insert(venue_fills).values(vault=vault, venue=venue, ticket=ticket, **values)
        added = await connection.execute(row.on_conflict_do_nothing().returning(venue_fills.c.fill))
        if added.first() is not None:
            new.append((fill, ticket))
    return new


async def _lock(connection: AsyncConnection, vault: str, venue: str, symbol: str, now: int) -> int:
    """The size that the ledger has, which nobody else changes before this transaction ends."""
    none = insert(venue_positions).values(vault=vault, venue=venue, symbol=symbol, size_e8=0, changed_at=now)
    await connection.execute(none.on_conflict_do_nothing())
    c = venue_positions.c
    held = select(c.size_e8).where(c.vault == vault, c.venue == venue, c.symbol == symbol).with_for_update()
    return int((await connection.execute(held)).scalar_one())


async def _hold(
    connection: AsyncConnection, vault: str, venue: str, symbol: str, size: int, now: int
) -> None:
    c = venue_positions.c
    row = update(venue_positions).where(c.vault == vault, c.venue == venue, c.symbol == symbol)
    await connection.execute(row.values(size_e8=size, changed_at=now))


async def _paid(
    connection: AsyncConnection, vault: str, venue: str, moves: Sequence[tuple[str, str, int, int]]
) -> None:
    """Write cash that moved as (kind, reference, amount, at). What is written already is not written again."""
    rows = [
        {"vault": vault, "venue": venue, "kind": kind, "reference": reference, "amount": amount, "at": at}
        for kind, reference, amount, at in moves
        if amount
    ]
    await move_cash(connection, rows)
