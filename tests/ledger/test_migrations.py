"""The migrations and the tables are one schema."""

from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.util.exc import CommandError

from core import events as e
from ledger.database import open_pool
from ledger.migrate import SchemaNewer, alembic_config, upgrade
from ledger.projector import Projector
from ledger.settlement import AccountAtCut, Settlement
from ledger.tables import metadata

MIGRATIONS = Path(__file__).parents[2] / "ledger" / "migrations"


def test_migrations_give_exactly_the_tables(postgres_url):
    try:
        command.check(alembic_config(postgres_url))
    except CommandError as error:
        pytest.fail(str(error))
    wanted = {
        (table.name, constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.name
    }
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "select conrelid::regclass::text, conname from pg_constraint"
            " where connamespace = 'public'::regnamespace and contype in ('c', 'p', 'f')"
        ).fetchall()
    assert {row for row in found if row[0] != "alembic_version"} == wanted


def test_migrations_that_were_applied_are_never_edited():
    """A database that has one will not get what is written into it later."""
    lines = (MIGRATIONS / "SHA256SUMS").read_text().splitlines()
    kept = {name: checksum for checksum, name in (line.split() for line in lines)}
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in MIGRATIONS.glob("versions/*.py")}
    assert found == kept


async def test_batches_stored_before_can_be_proven_after(postgres_url):
    account = AccountAtCut(16, 5, 5)
    projector = Projector(postgres_url)
    filled = [
        (number, e.Filled(1, number, 1, 1, 1, 16, 17, 1, 5, 600_000, 7, 3, -3, 10, -10, 1))
        for number in range(1, 301)
    ]
    projector.apply([*filled, (301, e.SettlementCut(2, 1, ())), (302, e.SettlementCut(2, 2, ()))])
    projector.close()
    pool = open_pool(postgres_url)
    for batch, after_seq, seq in ((1, 0, 301), (2, 301, 302)):
        await Settlement(pool).store_batch(batch, 2, after_seq, seq, [account], [])
    await pool.dispose()
    before = nodes(postgres_url)
    command.downgrade(alembic_config(postgres_url), "0001")
    upgrade(postgres_url)
    assert nodes(postgres_url) == before
    assert [len(above) for above, _ in before] == [3 * 32, 0]


def test_what_vaults_cash_adds_up_to_is_kept_from_the_history_before(postgres_url):
    command.downgrade(alembic_config(postgres_url), "0021")
    move = "insert into vault_cash_moves (vault, venue, kind, reference, amount, at) values (%s, %s, 'fee', %s, %s, 1)"
    moves = [
        ("gold", "", "a", 9),
        ("gold", "hyper", "a", -5),
        ("gold", "hyper", "b", 3),
        ("iron", "", "a", 1),
    ]
    with psycopg.connect(postgres_url) as connection:
        for one in moves:
            connection.execute(move, one)
        for symbol in ("", "ETH"):
            connection.execute("insert into venue_doubts values ('gold', 'hyper', %s, 'why', 5)", [symbol])
        for vault in ("gold", "iron"):
            connection.execute("insert into venue_cursors values (%s, 'hyper', '7', '8', 1, 2)", [vault])
    upgrade(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        kept = connection.execute("select vault, venue, amount from vault_cash order by 1, 2").fetchall()
        assert kept == [("gold", "", 9), ("gold", "hyper", -2), ("iron", "", 1)]
        kinds = connection.execute("select symbol, kind from venue_doubts order by 1").fetchall()
        assert kinds == [("", "silent"), ("ETH", "unpriced")]
        assert connection.execute("select distinct account from venue_cursors").fetchall() == [("",)]


def test_keys_of_transfers_that_holders_asked_for_become_their_own(postgres_url):
    command.downgrade(alembic_config(postgres_url), "0022")
    transfer = (
        "insert into vault_transfers (vault, key, holder, kind, amount, shares, status, code, who, at, dealt_at)"
        " values ('gold', %s, 16, %s, 5, 5, 'done', '', %s, 1, 2)"
    )
    moved = "insert into vault_cash_moves (vault, venue, kind, reference, amount, at) values ('gold', '', %s, %s, 5, 3)"
    with psycopg.connect(postgres_url) as connection:
        for key, kind, who in (("a", "withdrawal", "account/16"), ("b", "deposit", "ada")):
            connection.execute(transfer, (key, kind, who))
            connection.execute(moved, (kind, key))
    for _ in range(2):
        upgrade(postgres_url)
        with psycopg.connect(postgres_url) as connection:
            for column, table in (("key", "vault_transfers"), ("reference", "vault_cash_moves")):
                kept = connection.execute(f"select {column} from {table} order by 1").fetchall()
                assert kept == [("account/16 a",), ("b",)]
        command.downgrade(alembic_config(postgres_url), "0022")


def test_the_insurance_fund_s_history_goes_on_from_what_it_had_before(postgres_url):
    command.downgrade(alembic_config(postgres_url), "0005")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("insert into cursor values (1, 7, 5, 0)")
        connection.execute("insert into balances values (2, 900), (16, 4)")
    upgrade(postgres_url)
    projector = Projector(postgres_url)
    projector.apply([(8, e.DepositCredited(9, 2, 50, "fund"))])
    projector.close()
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select seq, at, why, amount, balance from insurance_history order by seq")
        assert found.fetchall() == [(7, 5, "carried", 900, 900), (8, 9, "deposit", 50, 950)]


def nodes(url):
    with psycopg.connect(url) as connection:
        return connection.execute("select fill_nodes, account_nodes from batches order by batch").fetchall()


def test_down_and_up_again(postgres_url):
    command.downgrade(alembic_config(postgres_url), "base")
    with psycopg.connect(postgres_url) as connection:
        left = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert left == [("alembic_version",)]
    upgrade(postgres_url)
    upgrade(postgres_url)
    command.check(alembic_config(postgres_url))


def test_a_schema_of_a_newer_release_is_named_and_left_alone(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(SchemaNewer, match=r"written by a newer release .*'9999'.*: go on with that release"):
        upgrade(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [("9999",)]
