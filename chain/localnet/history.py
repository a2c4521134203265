"""What survives the process: accounts, landed transactions and the slot, in one SQLite file.

One transaction of the database per landed transaction: after a crash a transaction happened with everything it wrote, or not at
all. The write-ahead log keeps every commit through a kill of the process; a power cut may lose the last moments, never tear them.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

_FORMAT: Final = "1"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (key BLOB PRIMARY KEY, account BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transactions (
  number INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL, seconds INTEGER NOT NULL,
  error TEXT, raw BLOB NOT NULL, meta TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mentions (key BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;
"""


class DataRefused(Exception):
    """The data directory is in use or of another version; the message says so to a person."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction of the history. `number` counts up in chain order; `error` is in a node's JSON form."""

    number: int
    signature: str
    slot: int
    seconds: int
    error: Any


@dataclass(frozen=True, slots=True)
class Record:
    """A landed transaction with everything known of it."""

    landed: Landed
    raw: bytes
    meta: dict[str, Any]


class History:
    """The open file. One writer: a second process on the same directory is refused."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataRefused(f"another local chain is running on {directory}") from error
        self._db = sqlite3.connect(directory / "chain.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        found = self.meta("format")
        if found not in (None, _FORMAT):
            raise DataRefused(f"{directory} was written by another version of the local chain ({found})")
        self.set_meta("format", _FORMAT)

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def accounts(self) -> Iterator[tuple[Pubkey, Account]]:
        for key, data in self._db.execute("SELECT key, account FROM accounts"):
            yield Pubkey(key), Account.from_bytes(data)

    def save(self, accounts: Iterable[tuple[Pubkey, Account | None]]) -> None:
        for key, account in accounts:
            if account is None:
                self._db.execute("DELETE FROM accounts WHERE key = ?", (bytes(key),))
            else:
                self._db.execute(
                    "INSERT OR REPLACE INTO accounts VALUES (?, ?)", (bytes(key), bytes(account))
                )

    def land(
        self, record: Record, keys: Iterable[Pubkey], written: Iterable[tuple[Pubkey, Account | None]]
    ) -> None:
        """Write a landed transaction, whom it mentions and what it changed: all of it, or nothing."""
        landed = record.landed
        error = None if landed.error is None else json.dumps(landed.error)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    landed.number,
                    landed.signature,
                    landed.slot,
                    landed.seconds,
                    error,
                    record.raw,
                    json.dumps(record.meta),
                ),
            )
            mentions = [(bytes(key), landed.number) for key in keys]
            self._db.executemany("INSERT INTO mentions VALUES (?, ?)", mentions)
            self.save(written)

    def undo(self, slot: int, accounts: Iterable[tuple[Pubkey, Account | None]]) -> None:
        """Forget every transaction after `slot`, with `accounts` as they were then: all of it, or nothing."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "DELETE FROM mentions WHERE number IN (SELECT number FROM transactions WHERE slot > ?)",
                (slot,),
            )
            self._db.execute("DELETE FROM transactions WHERE slot > ?", (slot,))
            self.save(accounts)

    def last_number(self) -> int:
        number: int = self._db.execute("SELECT coalesce(max(number), 0) FROM transactions").fetchone()[0]
        return number

    def landed(self, signature: str) -> Landed | None:
        row = self._db.execute(
            f"SELECT {_LANDED} FROM transactions WHERE signature = ?", (signature,)
        ).fetchone()
        return _landed(row) if row else None

    def record(self, signature: str) -> Record | None:
        row = self._db.execute(
            f"SELECT {_LANDED}, raw, meta FROM transactions WHERE signature = ?", (signature,)
        ).fetchone()
        return Record(_landed(row), row[5], json.loads(row[6])) if row else None

    def mentioning(self, key: Pubkey, below: int, above: int, slot_max: int, limit: int) -> list[Landed]:
        """Transactions that name `key`, numbered between `above` and `below` (both excluded), newest first."""
        rows = self._db.execute(
            f"SELECT {_LANDED} FROM mentions JOIN transactions USING (number) "
            "WHERE key = ? AND number < ? AND number > ? AND slot <= ? ORDER BY number DESC LIMIT ?",
            (bytes(key), below, above, slot_max, limit),
        )
        return [_landed(row) for row in rows]


_LANDED: Final = "number, signature, slot, seconds, error"


def _landed(row: tuple[Any, ...]) -> Landed:
    number, signature, slot, seconds, error = row[:5]
    return Landed(number, signature, slot, seconds, None if error is None else json.loads(error))
