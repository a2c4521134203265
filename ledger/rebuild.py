"""Emptying what the journal makes again, and nothing else: vaults, their orders at venues and settlement's memory stay."""

import time
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from ledger.database import APPLICATION, PROJECTOR_LOCK, libpq_url
from ledger.projector import ProjectorBusy
from ledger.tables import metadata

FROM_JOURNAL: Final = (
    "account_events",
    "accepted_slots",
    "agents",
    "balances",
    "cursor",
    "cuts",
    "deposits",
    "exit_claims",
    "fills",
    "funding_payments",
    "funding_rates",
    "index_history",
    "index_prices",
    "insurance_history",
    "liquidation_steps",
    "liquidations",
    "market_ends",
    "markets",
    "open_interest_jumps",
    "operator_actions",
    "positions",
    "postings",
    "requests",
    "streams",
    "unapplied_deltas",
    "withdrawals",
)
"""What the projector writes, all of it from the journal's records."""
OF_SETTLEMENT: Final = ("batch_pages", "batches", "reconciliations", "submissions")
"""Settlement's own memory, which is about the batches and withdrawals of one journal."""
KEPT: Final = tuple(sorted(metadata.tables.keys() - set(FROM_JOURNAL)))
"""What no journal has."""


class Projected(NamedTuple):
    """The last projected record: its sequence, 0 for none, and its instant in nanoseconds."""

    sequence: int
    at: int


class NamedAccount(NamedTuple):
    """An account of the engine that vaults name: as what, and the record that registered it."""

    account: int
    owner: str
    sequence: int
    named: str


def projected(url: str) -> Projected:
    """How far the projections are. Raises `psycopg.Error`."""
    with psycopg.connect(libpq_url(url)) as connection:
        row = connection.execute("select sequence, at from cursor").fetchone()
        return Projected(0, 0) if row is None else Projected(*row)


def accounts_of_vaults(url: str) -> list[NamedAccount]:
    """Every account that manages a vault, holds shares, waits for some, or answers for a key. Raises `psycopg.Error`."""
    with psycopg.connect(libpq_url(url)) as connection:
        rows = connection.execute("""
            select a.account, a.owner, a.seq, string_agg(distinct n.what, ', ' order by n.what) from (
                select manager account, 'manager of ' || id what from vaults
                union all select holder, 'holder of ' || vault from vault_shares where shares > 0
                union all select holder, 'waits in ' || vault from vault_transfers where status = 'waiting'
                union all select account, 'key of ' || vault from vault_keys where revoked_at = 0
            ) n join agents a using (account) group by a.account, a.owner, a.seq order by a.account
        """)
        return [NamedAccount(*row) for row in rows]


def clear(url: str, settlement_too: bool) -> str:
    """Empty the projections, all or none of it; the projector fills them again from record 1 when it starts.

    With `settlement_too` settlement's memory is moved into a schema of its own, whose name is returned: its batches and signed bytes
    are about records that the journal has no more. Raises `ProjectorBusy` while a projector works, and `psycopg.Error`.
    """
    with psycopg.connect(libpq_url(url), application_name=APPLICATION) as connection:
        row = connection.execute("select pg_try_advisory_xact_lock(%s)", (PROJECTOR_LOCK,)).fetchone()
        if row is None or not row[0]:
            raise ProjectorBusy("the projector works with this database")
        # A table that another refers to is not emptied. Added again it holds for what is written from now on: a batch that was stored
        # before waits for its cut to be projected.
        connection.execute("alter table batches drop constraint fk_batches_batch")
        aside = f"set_aside_{time.time_ns()}" if settlement_too else ""
        if aside:
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(aside)))
        for table in OF_SETTLEMENT if aside else ():
            kept, here = sql.Identifier(aside, table), sql.Identifier(table)
            connection.execute(sql.SQL("create table {} as table {}").format(kept, here))
        emptied = FROM_JOURNAL + (OF_SETTLEMENT if aside else ())
        names = sql.SQL(", ").join(map(sql.Identifier, emptied))
        connection.execute(sql.SQL("truncate {}").format(names))
        connection.execute(
            "alter table batches add constraint fk_batches_batch foreign key (batch) references cuts (batch) not valid"
        )
        return aside
