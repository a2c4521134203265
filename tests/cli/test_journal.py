"""`perpdex journal` over a real journal, a real projector and a real PostgreSQL."""

import asyncio
import shutil
import time
from contextlib import closing

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from core.batches import BatchStatus
from ledger.journal_needs import journal_needs
from ledger.projector import Projector
from matcher import commands as c
from matcher import pruning
from matcher.clock import SteadyClock
from matcher.engine import Engine
from matcher.segments import segments
from matcher.snapshot import bases, snapshots
from matcher.tail import Tail


async def grown(directory, count, then=()):
    """More deposits and commands, an engine's whole life, which leaves a snapshot."""
    engine = Engine(directory, SteadyClock(), segment_bytes=1_024)
    for number in range(count):
        await engine.ask(c.CreditDeposit(1, 5, f"d{engine.state.seq}-{number}"))
    for command in then:
        assert isinstance(await engine.ask(command), list), command
    engine.close()


def projected(directory, url, through=1 << 62):
    with closing(Projector(url)) as projector, closing(Tail(directory, projector.sequence)) as tail:
        projector.apply([record for record in tail.read() if record[0] <= through])
        return projector.sequence


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """The directory of a journal in which a batch was settled in the middle: not to be written to."""
    directory = tmp_path_factory.mktemp("settled") / "journal"
    final = (c.CutSettlement(1), c.AdvanceBatch(1, BatchStatus.FINAL, ()))
    asyncio.run(grown(directory, 100, final))
    asyncio.run(grown(directory, 100))
    asyncio.run(grown(directory, 100))
    return directory


@pytest.fixture
def exchange(settled, tmp_path, postgres_url, monkeypatch):
    """The directory of a journal of this test's own, like `settled`; nothing is projected yet."""
    monkeypatch.setattr(pruning, "RECENT", 0)
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    return shutil.copytree(settled, tmp_path / "journal")


def run(*arguments):
    return CliRunner().invoke(app, ["journal", *map(str, arguments)])


def test_status_says_what_there_is_and_who_needs_it(exchange, postgres_url):
    last = projected(exchange, postgres_url)
    result = run("status")
    assert result.exit_code == 0, result.output
    count = len(segments(exchange))
    assert f"{count} segments" in result.output
    assert f"records 1 to {last}" in result.output
    assert "MB free; requests are refused below 1,000 MB" in result.output
    assert f"needed after record {last - 1}: the ledger, which has got to record {last}" in result.output
    assert result.output.count("snapshot of record") == 2
    newest = snapshots(exchange)[0]
    newest.write_bytes(b"torn")
    assert "DAMAGED" in run("status").output


def test_a_dry_run_changes_nothing_and_says_what_would_go(exchange, postgres_url, tmp_path):
    projected(exchange, postgres_url)
    before = sorted(path.name for path in exchange.iterdir())
    result = run("prune", "--keep-days", 0, "--archive", tmp_path / "archive")
    assert result.exit_code == 0, result.output
    assert segments(exchange)[0][1].name in result.output
    assert sorted(path.name for path in exchange.iterdir()) == before
    assert not (tmp_path / "archive").exists()


def test_what_nobody_needs_is_moved_and_the_ledger_goes_on(exchange, postgres_url, tmp_path):
    projected(exchange, postgres_url)
    result = run("prune", "--keep-days", 0, "--archive", tmp_path / "archive", "--yes")
    assert result.exit_code == 0, result.output
    assert segments(exchange)[0][0] > 1
    assert bases(exchange)
    asyncio.run(grown(exchange, 10))
    with (
        closing(Projector(postgres_url)) as projector,
        closing(Tail(exchange, projector.sequence - 1)) as tail,
    ):
        before = projector.sequence
        projector.apply(tail.read())
        assert projector.sequence > before


def test_a_ledger_made_anew_says_where_the_records_are_and_is_filled_when_they_are_back(
    exchange, postgres_url, tmp_path
):
    projected(exchange, postgres_url)
    archive = tmp_path / "archive"
    run("prune", "--keep-days", 0, "--archive", archive, "--yes")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "truncate cursor, postings, balances, deposits, account_events, streams, cuts cascade"
        )
    with pytest.raises(Exception, match=f"were moved to {archive}"):
        projected(exchange, postgres_url)
    for path in archive.glob("*.journal"):
        path.rename(exchange / path.name)
    projected(exchange, postgres_url)
    assert "needed after record 0" not in run("status").output


@pytest.mark.parametrize("behind", [0, 40])
def test_what_the_ledger_has_not_got_stays(exchange, postgres_url, behind, tmp_path):
    last = projected(exchange, postgres_url, 100 if behind else 1 << 62)
    result = run("prune", "--keep-days", 0, "--delete", "--yes")
    assert result.exit_code == 0, result.output
    # The last projected record is handed in again, as the proof that it is the same journal.
    with closing(Tail(exchange, last - 1)) as tail, closing(Projector(postgres_url)) as projector:
        assert tail.read(1)[0][0] == last
        projector.apply(tail.read())


def test_days_to_keep_are_kept(exchange, postgres_url):
    projected(exchange, postgres_url)
    result = run("prune", "--keep-days", 1, "--delete", "--yes")
    assert result.exit_code == 0, result.output
    assert "the days that are to be kept" in result.output
    assert "nothing to do" in result.output
    assert segments(exchange)[0][0] == 1


def test_without_a_ledger_nothing_goes(exchange, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = run("prune", "--keep-days", 0, "--delete", "--yes")
    assert result.exit_code == 1
    assert "the ledger cannot be asked which records it still needs, so all of them stay" in result.stderr
    assert "so all of them stay" in run("status").output
    assert segments(exchange)[0][0] == 1


@pytest.mark.parametrize("arguments", [(), ("--archive", "there", "--delete")])
def test_where_segments_go_must_be_said(exchange, arguments):
    result = run("prune", "--keep-days", 0, *arguments, "--yes")
    assert result.exit_code == 2
    assert "--archive DIR, or --delete" in result.stderr


def test_without_a_journal_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path / "none"))
    result = run("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no journal" in result.stderr


def test_batches_and_liquidations_that_are_not_over_keep_their_records(exchange, postgres_url):
    last = projected(exchange, postgres_url)
    now = time.time_ns()

    def needs():
        return sorted(journal_needs(postgres_url, now))

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        ((cut, _),) = connection.execute("select seq, after_seq from cuts").fetchall()
        assert [after for after, _ in needs()] == [cut, last - 1]
        connection.execute(
            "insert into liquidations (liquidation, seq, at, account, equity, maintenance, outcome, ended_at)"
            " values (1, 30, 1, 16, 0, 0, '', 0)"
        )
        assert needs()[0][0] == 29
        connection.execute("update liquidations set outcome = 'sold', ended_at = %s", (now + 1,))
        assert needs()[0][0] == 29, "it ended within the days to keep"
        connection.execute("update liquidations set ended_at = %s", (now,))
        assert needs()[0][0] == cut
        connection.execute("update cuts set status = %s", (BatchStatus.CONFIRMED,))
        assert needs()[0] == (0, "batch 1, which is not final or whose proofs are not stored")
        connection.execute("update cuts set status = %s, fills = 1", (BatchStatus.FINAL,))
        assert needs()[0][0] == 0, "its proofs are not stored"
        connection.execute("truncate cuts cascade")
        assert needs()[0] == (0, "settlement, which has not cut a batch yet")
