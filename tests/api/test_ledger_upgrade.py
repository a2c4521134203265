"""`perpdex ledger upgrade`: what it says, what it does, and when it does nothing because the exchange runs."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic import command
from typer.testing import CliRunner

from cli.main import app
from ledger.database import open_pool
from ledger.migrate import alembic_config, schema
from ledger.projector import Projector

NOBODY = "http://127.0.0.1:1"
TODO = """\
the ledger is at 0015, this release has 0025
to do:
  0016 Until when an order at a venue may be sent
  0017 Keys of vaults, with who made and who revoked them
  0018 What venues do not tell of vaults, and positions that nobody knows a price of
  0019 Orders that have not ended are found without reading those that have
  0020 What was refused or given up before anybody knew its side and size is kept under its client id, too
  0021 When a venue last told all of an account
  0022 Which account of a venue is which vault's, why a venue is doubted, and what each vault's cash adds up to
  0023 Transfers that were taken back, and keys that are their asker's own
  0024 Prices that operators name for legs that have none
  0025 A delisting may close the last position of an account that is liquidated
"""


@pytest.fixture
def old_url(postgres_url: str) -> str:
    """A database that an earlier release made."""
    command.downgrade(alembic_config(postgres_url), "0015")
    return postgres_url


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(url: str, *options: str, api: str = NOBODY) -> tuple[int, str, str]:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("API_URL", api)
        done = CliRunner().invoke(app, ["ledger", "upgrade", *options])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_it_says_what_it_will_do_and_does_it_once(old_url: str, upgrade: Any) -> None:
    assert upgrade(old_url, "--check") == (1, TODO, "")
    assert schema(old_url).at == "0015"
    assert upgrade(old_url) == (0, TODO + "done: the ledger is at 0025\n", "")
    command.check(alembic_config(old_url))
    current = "the ledger is at 0025, this release has 0025\nnothing to do\n"
    assert upgrade(old_url) == upgrade(old_url, "--check") == (0, current, "")


def test_an_empty_database_becomes_a_ledger(postgres_url: str, upgrade: Any) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create database nothing_yet")
    url = postgres_url.replace(urlsplit(postgres_url).path, "/nothing_yet")
    status, said, _ = upgrade(url)
    assert status == 0
    assert said.startswith("the ledger is empty, this release has 0025\nto do:\n  0001 ")
    command.check(alembic_config(url))


async def test_not_while_anything_of_the_exchange_works_with_it(
    exchange: Any, old_url: str, upgrade: Any
) -> None:
    def refused(*options: str, api: str = NOBODY) -> str:
        status, said, why = upgrade(old_url, *options, api=api)
        assert (status, said) == (1, TODO)
        assert schema(old_url).at == "0015"
        return str(why)

    url = exchange.server.http_url
    # On a thread, because the exchange lives in this loop.
    assert f"the API at {url}. Stop all" in await asyncio.to_thread(refused, api=url)
    projector = Projector(old_url)
    assert "(on this machine), the projector. Stop all" in await asyncio.to_thread(refused)
    projector.close()
    pool = open_pool(old_url)
    async with pool.connect():
        assert "a process of the exchange (on this machine). Stop" in await asyncio.to_thread(
            refused, "--check"
        )
    await pool.dispose()
    assert (await asyncio.to_thread(upgrade, old_url))[0] == 0


def test_what_a_newer_release_wrote_is_left_alone(postgres_url: str, upgrade: Any) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    status, said, why = upgrade(postgres_url)
    assert (status, said) == (1, "")
    assert "written by a newer release" in why
    status, _, why = upgrade(postgres_url.replace("/test", "/none"))
    assert (status, "PostgreSQL cannot be used" in why) == (1, True)
