"""PostgreSQL as our own child: survives kills of itself and of us, and leaves other processes alone."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from ledger.embedded import SOCKET_PATH_MAX, EmbeddedPostgres, PostgresFailed, why_not_created
from ledger.migrate import upgrade
from ledger.projector import Projector


@pytest.fixture
def place():
    directory = Path(tempfile.mkdtemp(prefix="perpdex-embedded-"))
    directory.chmod(0o755)
    yield directory / "pg"
    for link in directory.rglob("elsewhere"):
        shutil.rmtree(link.resolve())
    shutil.rmtree(directory, ignore_errors=True)


def numbers(url):
    with psycopg.connect(url) as connection:
        return connection.execute("select n from kept order by n").fetchall()


def keep(url, number):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table if not exists kept (n bigint primary key)")
        connection.execute("insert into kept values (%s)", (number,))


@pytest.mark.parametrize("name", ["My Projects", "c++", "50% & more?"])
def test_a_directory_may_have_any_name(place, name):
    server = EmbeddedPostgres(place.parent / name / "pg")
    server.start()
    try:
        upgrade(server.url)
        keep(server.url, 1)
        assert numbers(server.url) == [(1,)]
        Projector(server.url).close()
    finally:
        server.stop()


def test_a_killed_server_comes_back_with_everything_committed(place, history_of):
    records = history_of(5, 200)
    server = EmbeddedPostgres(place)
    server.start()
    upgrade(server.url)
    keep(server.url, 1)
    projector = Projector(server.url)
    projector.apply(records[:150])
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        projector.apply(records[150:])
    again = EmbeddedPostgres(place)
    again.start()
    assert numbers(again.url) == [(1,)]
    projector = Projector(again.url)
    assert projector.sequence in (0, 150)
    projector.apply(records)
    assert projector.sequence == len(records)
    projector.close()
    again.stop()


def test_a_server_whose_starter_was_killed_is_taken_over(place):
    script = (
        "import sys, time; from pathlib import Path; from ledger.embedded import EmbeddedPostgres;"
        "print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as starter:
        assert starter.stdout is not None
        keep(starter.stdout.readline().strip(), 7)
        with pytest.raises(PostgresFailed, match="another process runs the PostgreSQL in"):
            EmbeddedPostgres(place).start()
        starter.kill()
    server = EmbeddedPostgres(place)
    assert numbers(server.start()) == [(7,)]
    server.stop()


def test_a_stale_pid_that_is_somebody_elses_is_left_alone(place):
    server = EmbeddedPostgres(place)
    server.start()
    keep(server.url, 3)
    pid_file = server.home / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    bystander = subprocess.Popen(["sleep", "60"])
    pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
    if os.geteuid() == 0:
        shutil.chown(pid_file, "nobody")
        assert numbers(EmbeddedPostgres(place).start()) == [(3,)]
    else:
        # PostgreSQL itself cannot tell, and says so rather than risk two servers on the same files.
        with pytest.raises(PostgresFailed, match="lock file"):
            EmbeddedPostgres(place).start()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_long_path_gets_its_socket_elsewhere(place):
    deep = place / ("d" * SOCKET_PATH_MAX)
    place.mkdir(mode=0o755)
    server = EmbeddedPostgres(deep)
    keep(server.start(), 4)
    sockets = Path(server.url.partition("host=")[2].partition("&")[0])
    assert len(str(sockets)) < SOCKET_PATH_MAX
    server.stop()
    assert sockets.exists() == (sockets == server.home)
    again = EmbeddedPostgres(deep)
    assert numbers(again.start()) == [(4,)]
    again.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_where_only_root_may_go_the_files_live_elsewhere(place):
    closed = place.parent / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "pg")
    keep(server.start(), 5)
    server.stop()
    assert server.home == (closed / "pg" / "elsewhere").resolve()
    assert (server.home / "data" / "PG_VERSION").exists()
    again = EmbeddedPostgres(closed / "pg")
    assert numbers(again.start()) == [(5,)]
    again.stop()
    copy = closed / "copy"
    shutil.copytree(closed / "pg", copy, symlinks=True)
    with pytest.raises(PostgresFailed, match=f"copy is a copy: .* the database of {closed}/pg"):
        EmbeddedPostgres(copy).start()
    # What runs is left alone also when nothing shows any more whose it was.
    (closed / "pg").rename(closed / "moved")
    moved = EmbeddedPostgres(closed / "moved")
    assert numbers(moved.start()) == [(5,)]
    (moved.home / "belongs").unlink()
    with pytest.raises(PostgresFailed, match="another process runs the PostgreSQL in"):
        EmbeddedPostgres(copy).start()
    assert numbers(moved.url) == [(5,)]
    moved.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_without_a_place_to_go_it_says_so(place, monkeypatch):
    closed = place.parent / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr("ledger.embedded.ELSEWHERE", (str(closed), "/nowhere"))
    with pytest.raises(PostgresFailed, match="run as another user, or set DATABASE_URL"):
        EmbeddedPostgres(closed / "pg").start()
    assert [path.name for path in closed.iterdir()] == ["pg"]


def test_why_it_cannot_start_is_one_sentence(place):
    server = EmbeddedPostgres(place)
    server.start()
    server.stop()
    version = server.home / "data" / "PG_VERSION"
    version.write_text("9.6\n")
    with pytest.raises(PostgresFailed, match=r"does not start .*FATAL.*postgres\.log"):
        EmbeddedPostgres(place).start()
    version.write_text("18\n")
    again = EmbeddedPostgres(place)
    again.start()
    again.stop()


FULL = """\
2026-11-22 04:21:51.133 UTC [29184] FATAL:  could not extend file "base/1/2691": No space left on device
2026-11-22 04:21:51.133 UTC [29184] HINT:  Check free disk space.
2026-11-22 04:21:51.133 UTC [29184] PANIC:  cannot abort transaction 1, it was already committed
Aborted
child process exited with exit code 134
initdb: removing data directory "/full/data"
"""
"""What initdb of PostgreSQL 18 said on a disk of 20 MB."""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (FULL, "No space left on device"),
        ('initdb: error: could not create directory "/d": Permission denied\n\n', "Permission denied"),
        ("Aborted\n", "Aborted"),
        ("", "no reason given"),
    ],
)
def test_the_reason_is_told_and_not_the_cleaning_up(said, reason):
    assert why_not_created(said).endswith(reason)


def test_where_its_files_cannot_be_created_it_says_why(place):
    server = EmbeddedPostgres(place)
    place.mkdir(parents=True)
    (place / "data").symlink_to("/proc/nowhere/data")
    with pytest.raises(
        PostgresFailed, match=r"could not create its files .*: initdb: error: could not .*data"
    ):
        server.start()
