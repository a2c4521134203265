"""Bringing a database to the current schema."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config

from ledger.database import sqlalchemy_url


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("ledger"))) / "migrations"))
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(url).replace("%", "%%"))
    return config


def upgrade(url: str) -> None:
    """Apply the migrations that are missing. Raises what SQLAlchemy raises when the database cannot be reached."""
    command.upgrade(alembic_config(url), "head")
