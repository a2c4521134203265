"""Servers that tests share: one real PostgreSQL for the whole run, a fresh database for each test.

A run is repeatable: Hypothesis derives its examples from the tests. `pytest --hypothesis-profile=default` looks for new ones.
"""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

_databases = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """PostgreSQL from the wheel, with a migrated database `template` to copy."""
    directory = Path(tempfile.mkdtemp(prefix="perpdex-test-", dir="/tmp"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "pg")
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create database migrated")
    upgrade(server.url.replace("/postgres?", "/migrated?"))
    yield server
    server.stop()
    shutil.rmtree(server.home, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """URL of a database of this test's own, at the current schema."""
    name = f"test{next(_databases)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name} template migrated")
    return postgres.url.replace("/postgres?", f"/{name}?")
