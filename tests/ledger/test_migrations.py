"""The migrations and the tables are one schema."""

import psycopg
import pytest
from alembic import command
from alembic.util.exc import CommandError

from ledger.migrate import alembic_config, upgrade
from ledger.tables import metadata


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


def test_down_and_up_again(postgres_url):
    command.downgrade(alembic_config(postgres_url), "base")
    with psycopg.connect(postgres_url) as connection:
        left = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert left == [("alembic_version",)]
    upgrade(postgres_url)
    upgrade(postgres_url)
    command.check(alembic_config(postgres_url))
