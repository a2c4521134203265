"""What the development chain keeps across restarts: accounts, landed transactions, its slot."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from solders.account import Account
from solders.pubkey import Pubkey

_SCHEMA = """
create table if not exists accounts (address blob primary key, lamports integer, data blob, owner blob, executable integer);
create table if not exists transactions (
  number integer primary key, signature text unique, slot integer, time integer, error text, logs text, fee integer, units integer,
  raw blob, pre text, post text);
create table if not exists mentions (address blob, number integer, primary key (address, number)) without rowid;
create table if not exists chain (slot integer, time integer);
"""


class Landed(NamedTuple):
    """A transaction on the chain. `error` is the RPC's JSON of it, or None; `time` in seconds."""

    number: int
    signature: str
    slot: int
    time: int
    error: object
    logs: list[str]
    fee: int
    units: int
    raw: bytes
    pre: list[int]
    post: list[int]


class Store:
    """SQLite in WAL mode: one landed transaction is one database transaction, so a kill leaves it whole or absent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=normal")
        self._database.executescript(_SCHEMA)

    def slot(self) -> int:
        row = self._database.execute("select slot from chain").fetchone()
        return int(row[0]) if row else 0

    def save_slot(self, slot: int, time: int) -> None:
        self._database.execute("begin")
        self._database.execute("delete from chain")
        self._database.execute("insert into chain values (?, ?)", (slot, time))
        self._database.execute("commit")

    def accounts(self) -> Iterator[tuple[Pubkey, Account]]:
        for address, lamports, data, owner, executable in self._database.execute("select * from accounts"):
            yield Pubkey(address), Account(lamports, data, Pubkey(owner), bool(executable))

    def addresses_owned_by(self, owner: Pubkey) -> list[Pubkey]:
        rows = self._database.execute(
            "select address from accounts where owner = ? order by address", (bytes(owner),)
        )
        return [Pubkey(row[0]) for row in rows]

    def save(
        self, landed: Landed, mentioned: Iterable[Pubkey], written: Iterable[tuple[Pubkey, Account | None]]
    ) -> None:
        """Add a landed transaction with the accounts it wrote."""
        database = self._database
        database.execute("begin")
        database.execute(
            "insert into transactions values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                landed.signature,
                landed.slot,
                landed.time,
                json.dumps(landed.error) if landed.error is not None else None,
                json.dumps(landed.logs),
                landed.fee,
                landed.units,
                landed.raw,
                json.dumps(landed.pre),
                json.dumps(landed.post),
            ),
        )
        number = database.execute("select last_insert_rowid()").fetchone()[0]
        database.executemany(
            "insert or ignore into mentions values (?, ?)", [(bytes(key), number) for key in mentioned]
        )
        for address, account in written:
            if account is None or account.lamports == 0:
                database.execute("delete from accounts where address = ?", (bytes(address),))
            else:
                database.execute(
                    "insert or replace into accounts values (?, ?, ?, ?, ?)",
                    (
                        bytes(address),
                        account.lamports,
                        account.data,
                        bytes(account.owner),
                        account.executable,
                    ),
                )
        database.execute("commit")

    def save_account(self, address: Pubkey, account: Account) -> None:
        self._database.execute(
            "insert or replace into accounts values (?, ?, ?, ?, ?)",
            (bytes(address), account.lamports, account.data, bytes(account.owner), account.executable),
        )

    def transaction(self, signature: str) -> Landed | None:
        row = self._database.execute(
            "select * from transactions where signature = ?", (signature,)
        ).fetchone()
        return _landed(row) if row else None

    def mentioning(
        self, address: Pubkey, before: str | None, until: str | None, up_to_slot: int, limit: int
    ) -> list[Landed]:
        """Transactions that name an address, newest first, between two signatures, landed at `up_to_slot` or earlier."""
        rows = self._database.execute(
            "select t.* from mentions m join transactions t on t.number = m.number where m.address = ? and t.slot <= ?"
            " and t.number < coalesce((select number from transactions where signature = ?), 9223372036854775807)"
            " and t.number > coalesce((select number from transactions where signature = ?), 0)"
            " order by t.number desc limit ?",
            (bytes(address), up_to_slot, before, until, limit),
        )
        return [_landed(row) for row in rows]

    def close(self) -> None:
        self._database.close()


def _landed(row: tuple[object, ...]) -> Landed:
    number, signature, slot, time, error, logs, fee, units, raw, pre, post = row
    return Landed(
        int(str(number)),
        str(signature),
        int(str(slot)),
        int(str(time)),
        json.loads(str(error)) if error is not None else None,
        json.loads(str(logs)),
        int(str(fee)),
        int(str(units)),
        bytes(raw),  # type: ignore[arg-type]
        json.loads(str(pre)),
        json.loads(str(post)),
    )
