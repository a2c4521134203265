"""Projections on a real PostgreSQL: exactly once, whoever writes and whenever it is killed."""

import os
import random
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.util.exc import CommandError

from core import events as e
from ledger.database import open_pool
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import alembic_config, upgrade
from ledger.projector import JournalGap, Projector, ProjectorBusy
from ledger.queries import Queries


def history(seed: int, length: int) -> list[tuple[int, e.Event]]:
    """A journal of deposits, fills and withdrawals among eight agents, numbered from 1."""
    rng = random.Random(seed)
    events: list[e.Event] = [e.AgentRegistered(n, 16 + n, f"owner{n}", f"agent{n}") for n in range(8)]
    events += [e.SlotBound(n, 16 + n, 0, 2 + n) for n in range(8)]
    fill = withdrawal = 0
    for at in range(length):
        kind = rng.randrange(5)
        account = 16 + rng.randrange(8)
        if kind == 0:
            events.append(e.DepositCredited(at, account, rng.randrange(1, 10**9), f"deposit{at}"))
        elif kind == 1:
            withdrawal += 1
            amount = rng.randrange(1, 10**6)
            events.append(e.WithdrawalReserved(at, withdrawal, account, amount, f"w{withdrawal}"))
            events.append(e.WithdrawalFinished(at, withdrawal, account, amount, rng.random() < 0.5, "s"))
        elif kind == 2:
            events.append(e.IndexUpdated(at, 1, 600_000, 0, at, "test"))
        else:
            fill += 1
            maker = 16 + (account - 16 + 1 + rng.randrange(7)) % 8
            gains = rng.randrange(-100, 100), rng.randrange(-100, 100)
            events.append(
                e.Filled(
                    at, fill, fill, fill, 1, account, maker, 1, 5, 600_000, rng.randrange(50), *gains, 1, 1, 1
                )
            )
    return list(enumerate(events, 1))


def tables(url: str) -> dict[str, list[tuple[object, ...]]]:
    names = ("agents", "fills", "postings", "balances", "account_events", "withdrawals", "cursor")
    with psycopg.connect(url) as connection:
        return {
            name: sorted(connection.execute(f"select * from {name}").fetchall(), key=repr) for name in names
        }


def test_batches_of_any_size_give_the_same_tables(postgres_url, postgres):
    records = history(1, 400)
    projector = Projector(postgres_url)
    projector.apply(records)
    projector.close()
    once = tables(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in once:
            connection.execute(f"truncate {name}")
    rng, at = random.Random(2), 0
    while at < len(records):
        projector = Projector(postgres_url)
        step = rng.randrange(1, 90)
        projector.apply(records[max(0, at - 20) : at + step])
        at = projector.sequence
        projector.close()
    assert tables(postgres_url) == once


async def test_the_books_balance_and_streams_are_numbered_without_gaps(postgres_url):
    records = history(3, 300)
    projector = Projector(postgres_url)
    projector.apply(records)
    projector.close()
    pool = open_pool(postgres_url)
    queries = Queries(pool)
    totals = await queries.totals()
    assert totals.total == 0
    assert totals.fills == sum(isinstance(event, e.Filled) for _, event in records)
    for account in range(16, 24):
        stream = await queries.stream(account, 0, 10_000)
        assert [one.number for one in stream] == list(range(1, len(stream) + 1))
        assert [one.event for one in stream] == [
            event for _, event in records if account in e.concerns(event)
        ]
        assert await queries.stream(account, len(stream) - 1, 5) == stream[-1:]
    fills = await queries.fills(16, 0, 5)
    assert [fill.fill for fill in fills] == sorted((fill.fill for fill in fills), reverse=True)
    assert await queries.fill(fills[0].fill) == fills[0]
    assert await queries.fill(10**9) is None
    await pool.dispose()


def test_one_projector_at_a_time_and_no_gap(postgres_url):
    first = Projector(postgres_url)
    with pytest.raises(ProjectorBusy):
        Projector(postgres_url)
    with pytest.raises(JournalGap, match="record 2 follows 0"):
        first.apply(history(1, 5)[1:])
    first.close()
    Projector(postgres_url).close()


def test_killed_postgres_keeps_what_was_committed():
    directory = Path(tempfile.mkdtemp(prefix="perpdex-kill-", dir="/tmp"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "pg")
    server.start()
    upgrade(server.url)
    records = history(5, 200)
    projector = Projector(server.url)
    projector.apply(records[:150])
    children = subprocess.run(
        ["ps", "--ppid", str(server.pid), "-o", "pid="], capture_output=True, text=True, check=False
    )
    for pid in [server.pid, *map(int, children.stdout.split())]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(server.pid, 0)
    with pytest.raises(psycopg.OperationalError):
        projector.apply(records[150:])
    again = EmbeddedPostgres(directory / "pg")
    again.start()
    projector = Projector(again.url)
    assert projector.sequence == 150
    projector.apply(records)
    assert projector.sequence == len(records)
    projector.close()
    again.stop()


def test_migrations_give_exactly_the_tables(postgres_url):
    try:
        command.check(alembic_config(postgres_url))
    except CommandError as error:
        pytest.fail(str(error))
