"""`perpdex ledger rebuild` and `forget-account`: when they do what they say, and when they say why not."""

import shutil
import time

import psycopg
import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner

from cli.main import app
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import upgrade
from ledger.projector import Projector
from matcher import commands as c
from matcher.engine import Engine
from matcher.segments import WATERMARK, segments
from matcher.tail import Tail

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
async def journal(tmp_path):
    """A journal in which two have registered."""
    return await journal_of(tmp_path / "journal", 2)


async def journal_of(directory, agents):
    engine = Engine(directory, time.time_ns, segment_bytes=1 << 20)
    for number in range(agents):
        await engine.ask(c.RegisterAgent(str(Keypair().pubkey()), f"{number}"))
    engine.close()
    return directory


@pytest.fixture
def run(monkeypatch, tmp_path, postgres_url):
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("API_URL", NOBODY)

    def ran(*words):
        done = CliRunner().invoke(app, ["ledger", *words])
        return done.exit_code, done.stdout, done.stderr

    return ran


def project(url, journal):
    projector, tail = Projector(url), Tail(journal, 0)
    projector.apply(tail.read())
    tail.close()
    projector.close()


def rows(url, wanted):
    with psycopg.connect(url) as connection:
        return connection.execute(wanted).fetchall()


def makes_a_vault_of(url, account):
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into vaults values ('gold', %s, 'hyper', 0, 0, 5, 5, 5, 1, 'ada')", [account]
        )
        connection.execute("insert into vault_shares values ('gold', %s, 5)", [account])


async def test_a_rebuilt_ledger_is_the_same_and_has_its_vaults(run, journal, postgres_url):
    project(postgres_url, journal)
    agents = rows(postgres_url, "select * from agents order by account")
    assert len(agents) == 2
    makes_a_vault_of(postgres_url, agents[0][0])
    # Whatever went wrong with a projection.
    with psycopg.connect(postgres_url) as connection:
        connection.execute("update agents set name = 'nonsense'")
    status, said, why = run("rebuild")
    assert (status, why) == (0, "")
    assert said.startswith("emptied: the projector fills it from the journal when it starts. Kept: ")
    assert "is not in this journal" not in said
    assert rows(postgres_url, "select id from vaults") == [("gold",)]
    project(postgres_url, journal)
    assert rows(postgres_url, "select * from agents order by account") == agents


async def test_of_a_shorter_journal_nothing_is_made_before_somebody_says_so(
    run, journal, postgres_url, tmp_path
):
    project(postgres_url, journal)
    ((account, owner),) = rows(postgres_url, "select account, owner from agents order by account limit 1")
    makes_a_vault_of(postgres_url, account)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "insert into submissions (signature, reference, raw, attempt, last_valid_block_height, status, lamports)"
            " values ('s', 'withdrawal/1', 'x', 1, 9, 'signed', 0)"
        )
    for _, path in segments(journal):
        path.unlink()
    for known in (*journal.glob("*.snapshot"), journal / WATERMARK):
        known.unlink()
    await journal_of(journal, 1)
    status, _, why = run("rebuild")
    assert (status, "the journal has not the last record" in why) == (1, True)
    assert rows(postgres_url, "select count(*) from agents") == [(2,)]
    status, said, _ = run("rebuild", "--journal-cut-short")
    assert status == 0
    # Its number is somebody else's in this journal, and so would be what it has in the vault.
    assert f"account {account} ({owner}; holder of gold, manager of gold) is not in this journal" in said
    (aside,) = [word.rstrip(";") for word in said.split() if word.startswith("set_aside_")]
    assert rows(postgres_url, f"select reference from {aside}.submissions") == [("withdrawal/1",)]
    assert rows(postgres_url, "select count(*) from submissions") == [(0,)]
    assert rows(postgres_url, "select holder, shares from vault_shares") == [(account, 5)]
    project(postgres_url, journal)
    assert rows(postgres_url, "select count(*) from agents") == [(1,)]


async def test_without_the_first_records_or_while_it_is_used_nothing_is_emptied(run, journal, postgres_url):
    project(postgres_url, journal)
    projector = Projector(postgres_url)
    status, _, why = run("rebuild")
    assert (status, "the projector. Stop all of its processes first; nothing was changed" in why) == (1, True)
    assert run("forget-account", "gold", "hyper", "--by", "ada", "--why", "moved")[0] == 1
    projector.close()
    ((_, path),) = segments(journal)
    path.rename(path.with_name("00000000000000000003.journal"))
    status, _, why = run("rebuild", "--journal-cut-short")
    assert (status, "does not begin with record 1" in why) == (1, True)
    assert rows(postgres_url, "select count(*) from agents") == [(2,)]


def test_the_embedded_database_runs_for_as_long_as_that_takes(run, journal, tmp_path, monkeypatch):
    """It ends with the exchange, so without it there would be nothing to work with."""
    monkeypatch.delenv("DATABASE_URL")
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    (tmp_path / "postgres.url").write_text(server.url)
    try:
        upgrade(server.url)
        project(server.url, journal)
        status, _, why = run("rebuild")
        assert (status, "stop the exchange first; nothing was changed" in why) == (1, True)
        assert rows(server.url, "select count(*) from agents") == [(2,)]
        server.stop()
        status, said, _ = run("rebuild")
        assert (status, said.startswith("emptied: ")) == (0, True)
    finally:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)


def test_an_account_is_forgotten_by_name_and_for_a_reason(run, postgres_url):
    asked = "forget-account", "gold", "hyper", "--by", "ada", "--why", "a new key"
    none = "gold keeps its account at hyper: it has no account there; nothing was changed\n"
    assert run(*asked) == (1, "", none)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("insert into venue_cursors values ('gold', 'hyper', '7', '8', 1, 0, '0xa')")
    assert run(*asked) == (0, "the next account that gold uses at hyper is its account there\n", "")
    assert rows(postgres_url, "select * from venue_cursors") == []
    said = "select vault, what, who, why from vault_changes"
    assert rows(postgres_url, said) == [
        ("gold", "account given up at hyper", "ada", "a new key (it was 0xa)")
    ]
