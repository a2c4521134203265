"""Bringing a database to the current schema."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import create_engine, pool

from ledger.database import APPLICATION, PROJECTOR_LOCK, libpq_url, sqlalchemy_url


class SchemaNewer(Exception):
    """The database has a schema that this program does not know."""


class Migration(NamedTuple):
    """`number` is its place in the order of all, `what` the sentence that it begins with."""

    number: str
    what: str


class Schema(NamedTuple):
    """How far a database has got: `at` is its last migration, empty for none, `head` the last that this release has."""

    at: str
    head: str
    missing: list[Migration]


def alembic_config(url: str) -> Config:
    config = Config()
    scripts = Path(str(files("ledger"))) / "migrations"
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(url).replace("%", "%%"))
    return config


def upgrade(url: str) -> None:
    """Apply the migrations that are missing, all or none. Raises `SchemaNewer`, and what SQLAlchemy raises when the database cannot be
    reached."""
    try:
        command.upgrade(alembic_config(url), "head")
    except CommandError as error:
        raise _newer(error) from error


def schema(url: str) -> Schema:
    """How far the database has got, and what is missing, in the order in which it is applied. Raises as `upgrade`."""
    scripts = ScriptDirectory.from_config(alembic_config(url))
    with create_engine(sqlalchemy_url(url), poolclass=pool.NullPool).connect() as connection:
        at = MigrationContext.configure(connection).get_current_revision()
    try:
        scripts.get_revisions(at or "base")
    except CommandError as error:
        raise _newer(error) from error
    newest_first = list(scripts.iterate_revisions("head", at or "base"))
    missing = [Migration(one.revision, one.doc) for one in reversed(newest_first)]
    return Schema(at or "", scripts.get_current_head() or "", missing)


def users(url: str) -> list[str]:
    """Who of the exchange works with the database now, in words. Raises `psycopg.Error`."""
    with psycopg.connect(libpq_url(url)) as connection:
        found = [
            f"a process of the exchange ({'on this machine' if address is None else f'from {address}'})"
            for (address,) in connection.execute(
                "select distinct host(client_addr) from pg_stat_activity"
                " where datname = current_database() and application_name = %s and pid <> pg_backend_pid()",
                (APPLICATION,),
            )
        ]
        # An older release's processes have no name of their own, but its projector has the lock.
        held = connection.execute(
            "select from pg_locks where locktype = 'advisory' and granted and (classid::bigint << 32) | objid::bigint = %s"
            " and database = (select oid from pg_database where datname = current_database())",
            (PROJECTOR_LOCK,),
        )
        return [*found, "the projector"] if held.fetchone() is not None else found


def _newer(error: CommandError) -> SchemaNewer:
    return SchemaNewer(f"the database was written by a newer release ({error}): go on with that release")
