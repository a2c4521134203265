"""Bringing a database to the current schema."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from ledger.database import sqlalchemy_url


class SchemaNewer(Exception):
    """The database has a schema that this program does not know."""


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("ledger"))) / "migrations"))
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(url).replace("%", "%%"))
    return config


def upgrade(url: str) -> None:
    """Apply the migrations that are missing. Raises `SchemaNewer`, and what SQLAlchemy raises when the database cannot be reached."""
    try:
        command.upgrade(alembic_config(url), "head")
    except CommandError as error:
        raise SchemaNewer(
            f"the database was written by a newer release ({error}): go on with that release, or give this one an empty database"
        ) from error
