"""Projections of the journal: written in batches, exactly once, from the sequence where the last writer stopped."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from core import events as e
from core.postings import postings
from ledger.database import libpq_url

LOCK: Final = 0x7065727064657801
"""Advisory lock of the one projector."""
_encode: Final = msgspec.msgpack.Encoder().encode
_FILL_COLUMNS: Final = "fill, seq, at, request, quote, market, taker, maker, side, size, price, fee, taker_realized, maker_realized"


class ProjectorBusy(Exception):
    """Another projector writes this database."""


class JournalGap(Exception):
    """The records do not follow the last projected one."""


class Projector:
    """Writes journal records into PostgreSQL. One transaction per call of `apply`, with the cursor in the same transaction."""

    def __init__(self, url: str) -> None:
        """Connect and take the projector's lock. Raises `ProjectorBusy`, `psycopg.Error`."""
        self._connection = psycopg.connect(libpq_url(url), autocommit=True)
        row = self._connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row is None or not row[0]:
            self._connection.close()
            raise ProjectorBusy("another projector writes this database")
        self._connection.execute("insert into cursor (id, sequence) values (1, 0) on conflict do nothing")
        found = self._connection.execute("select sequence from cursor").fetchone()
        assert found is not None
        self.sequence = int(found[0])
        rows = self._connection.execute("select account, stream from agents").fetchall()
        self._streams: dict[int, int] = {int(account): int(stream) for account, stream in rows}

    def apply(self, records: Sequence[tuple[int, e.Event]]) -> None:
        """Project records; those already projected are passed over. Raises `JournalGap` before anything is written."""
        fresh = [record for record in records if record[0] > self.sequence]
        if not fresh:
            return
        if fresh[0][0] != self.sequence + 1:
            raise JournalGap(f"record {fresh[0][0]} follows {self.sequence} in the ledger")
        streams = dict(self._streams)
        rows = Rows(streams)
        for sequence, event in fresh:
            rows.add(sequence, event)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(
                "update cursor set sequence = %s where sequence = %s", (fresh[-1][0], self.sequence)
            )
            if cursor.rowcount != 1:
                raise JournalGap(f"the ledger is no longer at {self.sequence}")
            rows.write(cursor)
        self.sequence = fresh[-1][0]
        self._streams = streams

    def close(self) -> None:
        self._connection.close()


class Rows:
    """What a run of records adds to each table."""

    def __init__(self, streams: dict[int, int]) -> None:
        self._streams = streams
        self._touched: set[int] = set()
        self._fills: list[tuple[int, ...]] = []
        self._postings: list[tuple[Any, ...]] = []
        self._balances: dict[int, int] = {}
        self._account_events: list[tuple[int, int, int, bytes]] = []
        self._steps: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, sequence: int, event: e.Event) -> None:
        for line, posting in enumerate(postings(event)):
            self._postings.append(
                (sequence, line, posting.debit, posting.credit, posting.amount, posting.why.value)
            )
            self._balances[posting.debit] = self._balances.get(posting.debit, 0) - posting.amount
            self._balances[posting.credit] = self._balances.get(posting.credit, 0) + posting.amount
        self._add_row(sequence, event)
        concerned = e.concerns(event)
        if concerned:
            encoded = _encode(event)
            for account in concerned:
                number = self._streams[account] = self._streams.get(account, 0) + 1
                self._touched.add(account)
                self._account_events.append((account, number, sequence, encoded))

    def write(self, cursor: "psycopg.Cursor[Any]") -> None:
        for statement, parameters in self._steps:
            cursor.execute(statement, parameters)
        _copy(cursor, f"copy fills ({_FILL_COLUMNS}) from stdin", self._fills)
        _copy(cursor, "copy postings (seq, line, debit, credit, amount, why) from stdin", self._postings)
        _copy_binary(cursor, self._account_events)
        cursor.executemany(
            "insert into balances (account, amount) values (%s, %s)"
            " on conflict (account) do update set amount = balances.amount + excluded.amount",
            sorted(self._balances.items()),
        )
        cursor.executemany(
            "update agents set stream = %s where account = %s",
            [(self._streams[account], account) for account in sorted(self._touched)],
        )

    def _add_row(self, sequence: int, event: e.Event) -> None:
        match event:
            case e.Filled() as fill:
                self._fills.append(
                    (
                        fill.fill,
                        sequence,
                        fill.at,
                        fill.request,
                        fill.quote,
                        fill.market,
                        fill.taker,
                        fill.maker,
                        fill.side,
                        fill.size,
                        fill.price,
                        fill.fee,
                        fill.taker_realized,
                        fill.maker_realized,
                    )
                )
            case e.AgentRegistered(account=account, owner=owner, name=name):
                self._steps.append(
                    (
                        "insert into agents (account, owner, name, page, slot, stream) values (%s, %s, %s, -1, -1, 0)",
                        (account, owner, name),
                    )
                )
            case e.SlotBound(account=account, page=page, slot=slot):
                self._steps.append(
                    ("update agents set page = %s, slot = %s where account = %s", (page, slot, account))
                )
            case e.WithdrawalReserved(withdrawal=withdrawal, account=account, amount=amount, key=key):
                self._steps.append(
                    (
                        "insert into withdrawals (withdrawal, account, amount, key, status, signature)"
                        " values (%s, %s, %s, %s, 'reserved', '')",
                        (withdrawal, account, amount, key),
                    )
                )
            case e.WithdrawalFinished(withdrawal=withdrawal, paid=paid, signature=signature):
                self._steps.append(
                    (
                        "update withdrawals set status = %s, signature = %s where withdrawal = %s",
                        ("paid" if paid else "released", signature, withdrawal),
                    )
                )
            case e.BatchAdvanced(batch=batch, status=status):
                self._steps.append(
                    ("update batches set status = greatest(status, %s) where batch = %s", (status, batch))
                )
            case _:
                pass


def _copy(cursor: "psycopg.Cursor[Any]", statement: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def _copy_binary(cursor: "psycopg.Cursor[Any]", rows: list[tuple[int, int, int, bytes]]) -> None:
    if rows:
        with cursor.copy(
            "copy account_events (account, number, seq, event) from stdin (format binary)"
        ) as copy:
            copy.set_types(["int8", "int8", "int8", "bytea"])
            for row in rows:
                copy.write_row(row)
