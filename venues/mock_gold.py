"""A venue for gold that needs nothing but a file: a made-up book around a given price, and real positions in SQLite.

The book at a price is the same for the same seed, so the same orders at the same prices fill in the same way and get the same
answers, in any process; only the names of fills and cursors are of the file. It is as deep again for every order: nobody else trades
here. Orders that rest fill when somebody looks and the book has reached them.
"""

import asyncio
import hashlib
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from core.backing import Exposure
from core.market import Side
from core.quantities import MILLION, MicroUsdc, Nanos, divide_up
from core.risk_template import Lifecycle
from core.tickets import E8, OrderType, PriceE8, SizeE8, TimeInForce, no_worse, notional_up
from venues.driver import (
    Acknowledged,
    Cancelled,
    Fills,
    Mid,
    OrderState,
    OrderStatus,
    Position,
    Reason,
    Refused,
    VenueFill,
    VenueOrder,
)
from venues.gold_book import LOT, TICK, Level, book, taken

VENUE: Final = "mock_gold"
SYMBOL: Final = "XAU"
TAKER_FEE: Final = 350
"""Parts per million of the notional, rounded up; orders that rested pay nothing."""
WORST: Final = 50_000
"""Parts per million from the middle that an order at the market without a limit accepts."""
CASH: Final = 10_000_000 * E8 * E8
"""What every account begins with, in 1e-16 dollars: ten million."""
LEVERAGE_MAX: Final = 20
"""An account's leverage until an order sets another, and the most that one may set."""
_BUSY_S: Final = 10.0
_NAMED: Final = "create table if not exists made (name text not null)"
"""A random name that a file gets when it is made; files of before there was one have none."""
_SCHEMA: Final = """
create table if not exists orders (
    account text, client_id text, venue_id text not null, side integer not null, size integer not null, filled integer not null,
    price integer not null, reduce_only integer not null, status text not null, primary key (account, client_id));
create table if not exists fills (
    number integer primary key, account text not null, client_id text not null, side integer not null, size integer not null,
    price integer not null, fee integer not null, at integer not null);
create index if not exists fills_of_account on fills (account, number);
create table if not exists positions (account text primary key, size integer not null, cost text not null);
create table if not exists accounts (account text primary key, cash text not null, leverage integer not null);
"""

Source = Callable[[], Awaitable[Mid | None]]
"""The price that gold has now, or None while nobody knows it."""
Answer = TypeVar("Answer")


class MockGold:
    """`account` of the venue in `file`. Several processes may have the same file."""

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(self, file: Path, account: str, source: Source, seed: int, clock: Callable[[], int]) -> None:
        self._file = file
        self._account = account
        self._source = source
        self._seed = seed
        self._clock = clock
        self._prepared = False

    @property
    def account(self) -> str:
        return self._account

    def client_id(self, ticket_id: str) -> str:
        return "mg-" + hashlib.blake2b(ticket_id.encode(), digest_size=16).hexdigest()

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        wrong = _wrong(order)
        if wrong is not None:
            return wrong
        mid = await self._source()
        if mid is None:
            return Refused(Reason.NO_PRICE, "nobody knows the price of gold")
        return await self._in_thread(lambda desk: desk.submit(order, mid.price))

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        await self._look()
        return await self._in_thread(lambda desk: desk.cancel(client_id))

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        await self._look()
        return await self._in_thread(lambda desk: desk.order(client_id))

    async def fills(self, cursor: str) -> Fills:
        await self._look()
        return await self._in_thread(lambda desk: desk.fills(cursor))

    async def positions(self) -> dict[str, Position]:
        await self._look()
        return await self._in_thread(lambda desk: desk.positions())

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        mid = await self._source() if SYMBOL in symbols else None
        return {} if mid is None else {SYMBOL: mid}

    async def close(self) -> None:
        """Nothing is open between two calls."""

    async def _look(self) -> None:
        """Let orders that rest meet the book of now."""
        mid = await self._source()
        if mid is not None:
            await self._in_thread(lambda desk: desk.match_resting(mid.price))

    async def _in_thread(self, act: "Callable[[_Desk], Answer]") -> Answer:
        def run() -> Answer:
            if not self._prepared:
                _prepare(self._file)
                self._prepared = True
            with _transaction(self._file) as rows:
                return act(_Desk(rows, self._account, self._seed, Nanos(self._clock())))

        return await asyncio.to_thread(run)


def _prepare(file: Path) -> None:
    with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as rows:
        # One sync a transaction instead of several; the file remembers.
        rows.execute("pragma journal_mode = wal")
        rows.execute("begin immediate")
        if not _has(rows, "fills"):
            rows.execute(_NAMED)
            named = "insert into made select ? where not exists (select 1 from made)"
            rows.execute(named, (secrets.token_hex(8),))
        rows.execute("commit")
        rows.executescript(_SCHEMA)


def _has(rows: sqlite3.Connection, table: str) -> bool:
    wanted = "select 1 from sqlite_master where type = 'table' and name = ?"
    return rows.execute(wanted, (table,)).fetchone() is not None


@contextmanager
def _transaction(file: Path) -> Iterator[sqlite3.Connection]:
    """One that others wait for from its beginning, so that what is read in it holds until its end."""
    with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as rows:
        rows.execute("pragma synchronous = full")
        rows.execute("begin immediate")
        try:
            yield rows
        except BaseException:
            rows.execute("rollback")
            raise
        rows.execute("commit")


def _wrong(order: VenueOrder) -> Refused | None:
    """What can be said against an order without a book."""
    if order.symbol != SYMBOL:
        return Refused(Reason.SYMBOL_UNKNOWN, f"there is only {SYMBOL} here")
    if order.size <= 0 or order.size % LOT:
        return Refused(Reason.ORDER_INVALID, "sizes are whole thousandths of an ounce")
    if order.new_leverage is not None and not 1 <= order.new_leverage <= LEVERAGE_MAX:
        return Refused(Reason.LEVERAGE_INVALID, f"leverage is 1 to {LEVERAGE_MAX}")
    limit = order.limit_price if order.order_type is OrderType.LIMIT else None
    if limit is not None and (limit <= 0 or limit % TICK):
        return Refused(Reason.ORDER_INVALID, "prices are whole cents")
    return None


class _Desk:
    """The venue's work within one transaction."""

    def __init__(self, rows: sqlite3.Connection, account: str, seed: int, now: Nanos) -> None:
        self._rows = rows
        self._account = account
        self._seed = seed
        self._now = now

    def submit(self, order: VenueOrder, mid: PriceE8) -> Acknowledged | Refused:
        # By the transaction's own clock: who waited for it is late as well.
        late = order.late(self._now)
        if late is not None:
            return late
        if self.order(order.client_id) is not None:
            return Refused(Reason.CLIENT_ID_USED, f"there is an order {order.client_id}")
        size = order.size
        if order.reduce_only:
            size = SizeE8(min(size, max(0, -order.side * self._position())))
            if size == 0:
                return Refused(Reason.WOULD_NOT_REDUCE, "there is no position that this would reduce")
        limit = _limit(order, mid)
        takes = taken(book(self._seed, mid, order.side), order.side, size, limit)
        filled = SizeE8(sum(level.size for level in takes))
        rests = order.order_type is OrderType.LIMIT and order.time_in_force in _RESTING
        if order.time_in_force is TimeInForce.POST_ONLY and takes:
            return Refused(Reason.WOULD_MATCH, f"the best price is {takes[0].price}")
        if not rests and (not takes or (order.time_in_force is TimeInForce.FOK and filled < order.size)):
            return Refused(Reason.NO_LIQUIDITY, "the book has not as much at that price")
        if not order.reduce_only and (short := self._not_covered(order, size if rests else filled, mid)):
            return short
        if order.new_leverage is not None:
            self._keep(self._money()[0], order.new_leverage)
        status = (
            OrderStatus.FILLED if filled == size else OrderStatus.OPEN if rests else OrderStatus.CANCELLED
        )
        venue_id = "mgo-" + order.client_id.removeprefix("mg-")
        row = (
            self._account,
            order.client_id,
            venue_id,
            order.side,
            size,
            0,
            limit,
            order.reduce_only,
            status,
        )
        self._rows.execute("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        for level in takes:
            self._fill(order.client_id, order.side, level, TAKER_FEE)
        state = self.order(order.client_id)
        assert state is not None
        cost = sum(level.price * level.size for level in takes)
        return Acknowledged(state, PriceE8(cost // filled) if filled else None)

    def _not_covered(self, order: VenueOrder, size: int, mid: PriceE8) -> Refused | None:
        """Why the account's cash does not carry an order of which so much may fill.

        What it would hold with all that waits filled, on the larger side, may be worth its leverage times its equity, both at the
        middle of now; what does not make that larger passes. The order's own fees and its way through the book do not count yet.
        """
        cash, leverage = self._money()
        before = self._exposure()
        after = before.with_order(order.side, size)
        times, equity = order.new_leverage or leverage, cash + before.held * mid
        if after.most <= before.most or after.most * mid <= times * equity:
            return None
        return Refused(Reason.INSUFFICIENT_MARGIN, f"{times} times the account's equity is less than that")

    def _exposure(self) -> Exposure:
        """The position, and what waits and does not only reduce."""
        left = dict(
            self._rows.execute(
                "select side, sum(size - filled) from orders where account = ? and status = ? and reduce_only = 0 group by side",
                (self._account, OrderStatus.OPEN),
            ).fetchall()
        )
        return Exposure(self._position(), left.get(Side.BUY, 0), left.get(Side.SELL, 0))

    def match_resting(self, mid: PriceE8) -> None:
        """Fill what the book has reached, at the order's own price."""
        found = self._rows.execute(
            "select client_id, side, size - filled, price, reduce_only from orders"
            " where account = ? and status = ? order by rowid",
            (self._account, OrderStatus.OPEN),
        ).fetchall()
        for client_id, number, left, price, reduce_only in found:
            side = Side(number)
            room = min(left, max(0, -side * self._position())) if reduce_only else left
            takes = taken(book(self._seed, mid, side), side, SizeE8(room), PriceE8(price))
            filled = sum(level.size for level in takes)
            if filled:
                self._fill(client_id, side, Level(PriceE8(price), SizeE8(filled)), 0)
            if room == 0 or filled == left:
                self._end(client_id, OrderStatus.FILLED if filled == left else OrderStatus.CANCELLED)

    def cancel(self, client_id: str) -> Cancelled | Refused:
        state = self.order(client_id)
        if state is None or state.status is not OrderStatus.OPEN:
            return Refused(Reason.ORDER_UNKNOWN, f"no order {client_id} is waiting")
        self._end(client_id, OrderStatus.CANCELLED)
        return Cancelled(client_id)

    def order(self, client_id: str) -> OrderState | None:
        row = self._rows.execute(
            "select venue_id, side, status, size, filled from orders where account = ? and client_id = ?",
            (self._account, client_id),
        ).fetchone()
        if row is None:
            return None
        venue_id, side, status, size, filled = row
        return OrderState(client_id, venue_id, SYMBOL, Side(side), OrderStatus(status), size, filled)

    def fills(self, cursor: str) -> Fills:
        """Those after a cursor; after one of another file, that was lost, all of this one. Their numbers begin anew in each file, so
        ids and cursors have its name."""
        name = self._name()
        of, _, number = cursor.rpartition(":")
        after = int(number or 0) if of == name else 0
        found = self._rows.execute(
            "select number, client_id, side, size, price, fee, at from fills where account = ? and number > ? order by number",
            (self._account, after),
        ).fetchall()
        fills = [
            VenueFill(
                f"mgf-{name}-{number}" if name else f"mgf-{number}",
                client_id,
                "mgo-" + client_id.removeprefix("mg-"),
                SYMBOL,
                Side(side),
                size,
                price,
                fee,
                at,
            )
            for number, client_id, side, size, price, fee, at in found
        ]
        if not found:
            return Fills([], cursor, more=False)
        last = found[-1][0]
        return Fills(fills, f"{name}:{last}" if name else str(last), more=False)

    def _name(self) -> str:
        """The file's; empty: it was made before they had any."""
        if not _has(self._rows, "made"):
            return ""
        return str(self._rows.execute("select name from made").fetchone()[0])

    def positions(self) -> dict[str, Position]:
        size, cost = self._held()
        return {SYMBOL: Position(SizeE8(size), PriceE8(cost // size))} if size else {}

    def _position(self) -> int:
        return self._held()[0]

    def _held(self) -> tuple[int, int]:
        """Signed size, and what it cost in 1e-16 dollars."""
        row = self._rows.execute(
            "select size, cost from positions where account = ?", (self._account,)
        ).fetchone()
        return (0, 0) if row is None else (row[0], int(row[1]))

    def _money(self) -> tuple[int, int]:
        """Cash in 1e-16 dollars, as if all were paid in full, and the leverage. A file of before there was cash is counted through."""
        row = self._rows.execute(
            "select cash, leverage from accounts where account = ?", (self._account,)
        ).fetchone()
        if row is not None:
            return int(row[0]), row[1]
        filled = self._rows.execute(
            "select side, size, price, fee from fills where account = ?", (self._account,)
        )
        paid = sum(side * size * price + fee * _MICRO for side, size, price, fee in filled)
        return CASH - paid, LEVERAGE_MAX

    def _keep(self, cash: int, leverage: int) -> None:
        # As text, because SQLite's integers end at 2^63.
        self._rows.execute(
            "insert or replace into accounts values (?, ?, ?)", (self._account, str(cash), leverage)
        )

    def _end(self, client_id: str, status: OrderStatus) -> None:
        self._rows.execute(
            "update orders set status = ? where account = ? and client_id = ?",
            (status, self._account, client_id),
        )

    def _fill(self, client_id: str, side: Side, level: Level, rate: int) -> None:
        fee = MicroUsdc(divide_up(notional_up(level.price, level.size) * rate, MILLION))
        cash, leverage = self._money()
        self._keep(cash - side * level.size * level.price - fee * _MICRO, leverage)
        self._rows.execute(
            "insert into fills (account, client_id, side, size, price, fee, at) values (?, ?, ?, ?, ?, ?, ?)",
            (self._account, client_id, side, level.size, level.price, fee, self._now),
        )
        self._rows.execute(
            "update orders set filled = filled + ? where account = ? and client_id = ?",
            (level.size, self._account, client_id),
        )
        size, cost = _moved(*self._held(), side * level.size, level.price)
        # SQLite's integers end at 2^63, and a cost may not: it is kept as text.
        self._rows.execute(
            "insert or replace into positions values (?, ?, ?)", (self._account, size, str(cost))
        )


_MICRO: Final = 10**10
"""Of 1e-16 dollars."""
_RESTING: Final = frozenset({TimeInForce.GTC, TimeInForce.POST_ONLY})


def _limit(order: VenueOrder, mid: PriceE8) -> PriceE8:
    worst = order.limit_price or PriceE8(mid * (MILLION + order.side * WORST) // MILLION)
    return no_worse(worst, order.side, TICK)


def _moved(size: int, cost: int, change: int, price: int) -> tuple[int, int]:
    """A position after a fill. What closes takes its part of the cost with it, rounded down; what turns round starts anew."""
    if size * change >= 0:
        return size + change, cost + change * price
    if abs(change) <= abs(size):
        return size + change, cost - cost * -change // size
    return size + change, (size + change) * price
