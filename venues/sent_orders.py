"""Orders as they were signed, kept before they are sent: for a venue that knows orders by what was signed, not by a name of ours.

Whoever sends an order again sends the same bytes, which the venue takes once.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.market import Side
from core.quantities import Nanos
from core.tickets import SizeE8

_BUSY_S: Final = 10.0
_NOTHING: Final = SizeE8(0)
_SHOWN: Final = Nanos(0)
_SCHEMA: Final = """
create table if not exists sent (
    account text, client_id text, order_id text not null, symbol text not null, side integer not null, size integer not null,
    body text not null, at integer not null, expires integer not null, taken integer not null default 0,
    told integer not null default 0, gone integer not null default 0,
    primary key (account, client_id));
create index if not exists sent_by_order on sent (account, order_id);
"""
_LATER: Final = ("told", "gone")
"""Columns that files of before do not have."""


@dataclass(frozen=True)
class Sent:
    """An order that may have been sent. `order_id` is the venue's; `body` is what goes over the wire.

    `expires` is when the venue takes it no more, 0 for never. `taken` tells that the venue has said that it has it, `told` how much of
    it the venue has said is filled, `gone` since when it has not shown it, 0 while it does.
    """

    client_id: str
    order_id: str
    symbol: str
    side: Side
    size: SizeE8
    body: str
    at: Nanos
    expires: Nanos
    taken: bool = False
    told: SizeE8 = _NOTHING
    gone: Nanos = _SHOWN


class SentOrders:
    """Those of `account` in `file`, which several processes may share. Calls block for as long as a disk takes."""

    def __init__(self, file: Path, account: str) -> None:
        self._file = file
        self._account = account
        self._prepared = False

    def by_client_id(self, client_id: str) -> Sent | None:
        return self._one("client_id", client_id)

    def by_order_id(self, order_id: str) -> Sent | None:
        return self._one("order_id", order_id)

    def keep(self, sent: Sent) -> Sent:
        """What is kept under the client id from now on: this, or what another process was first with, unless that has expired."""
        with self._open() as database:
            database.execute(
                "insert into sent (account, client_id, order_id, symbol, side, size, body, at, expires)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (account, client_id) do update set"
                # Whoever only reduces may have less to sell by now.
                " size = excluded.size, order_id = excluded.order_id, body = excluded.body, at = excluded.at,"
                " expires = excluded.expires"
                " where sent.expires between 1 and excluded.at and not sent.taken",
                (
                    self._account,
                    sent.client_id,
                    sent.order_id,
                    sent.symbol,
                    int(sent.side),
                    sent.size,
                    sent.body,
                    sent.at,
                    sent.expires,
                ),
            )
        kept = self.by_client_id(sent.client_id)
        assert kept is not None
        return kept

    def was_taken(self, sent: Sent, filled: SizeE8 = _NOTHING) -> Sent:
        """The venue has the order, shows it or has just answered so, and says that so much of it is filled."""
        return self._noted(sent, "gone = 0, told = max(told, ?)", filled)

    def is_gone(self, sent: Sent, at: Nanos) -> Sent:
        """The venue had the order and does not show it at an instant; the first one counts."""
        return self._noted(sent, "gone = case when gone = 0 then ? else gone end", at)

    def _noted(self, sent: Sent, what: str, value: int) -> Sent:
        with self._open() as database:
            database.execute(
                f"update sent set taken = 1, {what} where account = ? and order_id = ?",
                (value, self._account, sent.order_id),
            )
        # Another process may have signed it anew meanwhile.
        return self.by_order_id(sent.order_id) or sent

    def _one(self, column: str, value: str) -> Sent | None:
        with self._open() as database:
            row = database.execute(
                "select client_id, order_id, symbol, side, size, body, at, expires, taken, told, gone from sent"
                f" where account = ? and {column} = ?",
                (self._account, value),
            ).fetchone()
        if row is None:
            return None
        client_id, order_id, symbol, side, size, body, at, expires, taken, told, gone = row
        terms = (Side(side), SizeE8(size), body, Nanos(at), Nanos(expires))
        return Sent(client_id, order_id, symbol, *terms, bool(taken), SizeE8(told), Nanos(gone))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it is over."""
        with closing(sqlite3.connect(self._file, timeout=_BUSY_S)) as database, database:
            if not self._prepared:
                database.executescript(_SCHEMA)
                there = {name for _, name, *_ in database.execute("pragma table_info(sent)")}
                for name in _LATER:
                    if name not in there:
                        _added(database, name)
                self._prepared = True
            yield database


def _added(database: sqlite3.Connection, name: str) -> None:
    try:
        database.execute(f"alter table sent add column {name} integer not null default 0")
    except sqlite3.OperationalError as error:
        # Another process was first.
        if "duplicate column" not in str(error):
            raise
