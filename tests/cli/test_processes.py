"""Children, what is left of them, and ports: with real processes and real sockets."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

from cli.demo import PORTS
from cli.leftovers import end_leftovers, started_at, write_down
from cli.main import app
from cli.ports import free_ports, must_be_free
from cli.processes import Child, StackFailed
from cli.stack import Stack, Stopped
from settings import Settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_program_that_is_missing_is_a_sentence(tmp_path):
    with pytest.raises(StackFailed, match=r"temporal cannot be started .*No such file.*make setup"):
        Child("temporal", ["/nowhere/temporal"], tmp_path / "t.log", {})


def test_a_child_that_ends_says_how_and_its_last_words(tmp_path):
    command = [sys.executable, "-c", "import sys; print('last words', file=sys.stderr); sys.exit(3)"]
    child = Child("api", command, tmp_path / "logs" / "api.log", {})
    child.process.wait(20)
    with pytest.raises(
        StackFailed, match=r"api stopped with exit code 3; the end of .*api.log:\n  last words"
    ):
        child.must_live()
    child.stop()


def test_a_child_that_was_killed_says_so(tmp_path):
    child = Child("worker", SLEEP, tmp_path / "w.log", {})
    child.must_live()
    os.kill(child.pid, signal.SIGKILL)
    child.process.wait(20)
    with pytest.raises(StackFailed, match="worker was ended by signal 9; it said nothing"):
        child.must_live()


def test_lines_are_heard_and_the_environment_is_given(tmp_path):
    heard = []
    command = [sys.executable, "-c", "import os; print(os.environ['TOLD']); print('two')"]
    child = Child("makers", command, tmp_path / "m.log", {"TOLD": "one"}, heard.append)
    child.process.wait(20)
    child.stop()
    assert heard == ["one\n", "two\n"]


def test_stopping_ends_the_whole_group(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
        "time.sleep(60)"
    )
    heard: list[str] = []
    child = Child("api", [sys.executable, "-c", script], tmp_path / "a.log", {}, heard.append)
    deadline = time.monotonic() + 20
    while not heard and time.monotonic() < deadline:
        time.sleep(0.02)
    grandchild = int(heard[0])
    child.stop()
    while started_at(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (started_at(child.pid), started_at(grandchild)) == ("", "")


def test_leftovers_are_ended_and_strangers_with_their_numbers_are_not(tmp_path):
    ours = subprocess.Popen(SLEEP, start_new_session=True)
    stranger = subprocess.Popen(SLEEP, start_new_session=True)
    file, said = tmp_path / "processes.json", []
    write_down(file, [("api", ours.pid), ("worker", stranger.pid)])
    rows = json.loads(file.read_text())
    rows[1]["started"] = "long ago"
    file.write_text(json.dumps(rows))
    try:
        end_leftovers(file, said.append)
        assert ours.wait(20) == -signal.SIGTERM
        assert stranger.poll() is None
        assert said == ["stopping api, left over from a run that was killed"]
        assert not file.exists()
    finally:
        stranger.kill()
        stranger.wait()
    end_leftovers(file, said.append)
    assert len(said) == 1


@pytest.mark.parametrize("written", [b"", b"[{", b'[{"name": "api"}]', b"\0" * 60])
def test_an_unreadable_list_of_leftovers_is_no_list(tmp_path, written):
    file, said = tmp_path / "processes.json", []
    file.write_bytes(written)
    end_leftovers(file, said.append)
    assert said == [
        f"{file} cannot be read: what an earlier run may have left running is not known, and is not ended"
    ]
    assert not file.exists()


@pytest.fixture
def handlers():
    """The signals that a supervisor takes, given back at the end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_what_the_disk_refuses_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path))
    for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True):
        monkeypatch.setenv(name.upper(), str(port))
    (tmp_path / "postgres").write_text("in the way")
    done = CliRunner().invoke(app, ["up"])
    assert done.exit_code == 1
    assert f"It cannot go on: [Errno 17] File exists: '{tmp_path}/postgres'" in done.output
    assert isinstance(done.exception, SystemExit)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_list_that_finds_no_room_replaces_nothing(tmp_path):
    file = tmp_path / "processes.json"
    write_down(file, [("api", os.getpid())])
    before = file.read_bytes()
    file.with_suffix(".half").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_down(file, [("worker", os.getpid())])
    assert file.read_bytes() == before


def test_a_taken_port_names_what_wants_it_and_how_to_choose_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=f"Port {port} for the API cannot be used .*set API_PORT"):
            must_be_free(port, "the API", "API_PORT")
    must_be_free(port, "the API", "API_PORT")


def test_free_ports_differ_and_can_be_used():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        must_be_free(port, "a test", "PORT")


@pytest.mark.parametrize("dies", [False, True], ids=["told to stop", "a part died"])
def test_a_start_that_waits_for_the_chain_can_be_ended(tmp_path, dies):
    """A node that takes calls and lands nothing keeps a new escrow waiting for ever."""
    stopped, settings = threading.Event(), Settings(perpdex_data=tmp_path)
    stack = Stack(settings, lambda line: None, stopped)
    child = stack._start("localnet", SLEEP)
    threading.Timer(0.3, child.process.kill if dies else stopped.set).start()
    began = time.monotonic()
    try:
        with pytest.raises(StackFailed if dies else Stopped):
            asyncio.run(stack._finished(asyncio.sleep(600), "Creating the escrow on chain"))
    finally:
        stack.stop()
    assert time.monotonic() - began < 60
