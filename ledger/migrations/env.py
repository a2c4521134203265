"""Alembic's entry: online migrations over one connection."""

from alembic import context
from sqlalchemy import create_engine, pool

from ledger.tables import metadata

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
