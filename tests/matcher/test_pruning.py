"""Old segments leave a real journal: only what nobody needs, proven first, whole at every instant of a kill, while the engine runs."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.quantities import SECOND
from matcher import commands as c
from matcher import pruning
from matcher.apply import apply
from matcher.engine import Engine
from matcher.image import state_hash
from matcher.pruning import Need, PruneRefused, carry_out, origin, plan
from matcher.recovery import JournalCorrupt
from matcher.segments import JournalInUse, lock, segments, synced_through, whereabouts
from matcher.snapshot import bases, load_newest, read, save, sequence_of, snapshots
from matcher.snapshot_process import follow
from matcher.state import Exchange
from matcher.tail import Tail

START = 1_700_000_000 * SECOND
LATER = START + 10**6 * SECOND
ROOT = Path(__file__).parents[2]


class Clock:
    """Every command a second after the one before it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += SECOND
        return self.now


async def deposits(engine: Engine, count: int) -> None:
    for _ in range(count):
        await engine.ask(c.CreditDeposit(1, 7, f"d{engine.state.seq}"))


@pytest.fixture
async def journal(tmp_path, monkeypatch) -> Path:
    """A journal of 400 records in many segments, with snapshots of record 300 and 350."""
    monkeypatch.setattr(pruning, "RECENT", 20)
    directory = tmp_path / "journal"
    engine = Engine(directory, Clock(), segment_bytes=2_048)
    for until in (300, 350, 400):
        await deposits(engine, until - engine.state.seq)
        if until < 400:
            follow(directory)
    engine._snapshots.close()
    engine._journal.close()
    os.close(engine._lock)
    return directory


def records(directory: Path, archive: Path | None = None) -> list[int]:
    """The sequences that can be read, from the first on; applied to what was before them they lead to the newest snapshot."""
    state = origin(directory, archive)
    found = []
    with closing(Tail(directory, state.seq, archive)) as tail:
        while read_now := tail.read():
            for sequence, event in read_now:
                found.append(sequence)
                apply(state, event)
                if sequence == sequence_of(snapshots(directory)[0]):
                    assert state_hash(state) == state_hash(read(snapshots(directory)[0]))
    return found


async def reopened(directory: Path) -> str:
    """The hash after a start, without what the start itself adds."""
    engine = Engine(directory, lambda: START + 3_600 * SECOND)
    engine.state.epoch, engine.state.seq = 1, engine.state.seq - 1
    engine.state.at = 0
    found = state_hash(engine.state)
    engine._journal.close()
    os.close(engine._lock)
    return found


def test_whole_segments_go_that_nobody_needs(journal):
    planned = plan(journal, [Need(250, "the ledger")], LATER)
    starts = [first for first, _ in segments(journal)]
    assert planned.through == max(first - 1 for first in starts if first - 1 <= 250)
    assert [path for _, path in segments(journal)][: len(planned.files)] == planned.files
    assert planned.needs[0] == Need(250, "the ledger")
    assert [need.after for need in planned.needs[1:]] == [300, 380], "the older snapshot, and what is recent"


@pytest.mark.parametrize("edge", [-1, 0])
def test_a_segment_goes_when_its_last_record_is_not_needed(journal, edge):
    last = segments(journal)[3][0] - 1
    planned = plan(journal, [Need(last + edge, "someone")], LATER)
    assert len(planned.files) == (3 if edge == 0 else 2)


def test_what_is_younger_than_the_days_to_keep_stays(journal):
    third = segments(journal)[3][1]
    at = pruning.began(third)
    assert len(plan(journal, [], at).files) == 3
    assert len(plan(journal, [], at - 1).files) == 2
    assert "days" in plan(journal, [], at - 1).needs[0].why


def test_without_two_snapshots_nothing_goes(journal):
    snapshots(journal)[-1].unlink()
    with pytest.raises(PruneRefused, match="no two snapshots"):
        plan(journal, [], LATER)


@pytest.mark.parametrize("archived", [True, False])
async def test_what_is_left_leads_to_the_same_state(journal, tmp_path, archived):
    archive = tmp_path / "archive" if archived else None
    before = state_hash(load_newest(journal))
    kept = shutil.copytree(journal, tmp_path / "copy")
    planned = plan(journal, [Need(250, "the ledger")], LATER)
    carry_out(journal, planned, archive)
    assert not any(path.exists() for path in planned.files)
    assert records(journal) == list(range(planned.through + 1, 401))
    assert [sequence_of(path) for path in bases(journal)] == [planned.through]
    if archive is not None:
        assert records(journal, archive) == list(range(1, 401))
        assert whereabouts(journal) == f"records 1 to {planned.through} were moved to {archive.resolve()}"
    else:
        assert whereabouts(journal) == f"records 1 to {planned.through} were deleted"
    with (
        pytest.raises(JournalCorrupt, match=r"record 1 is no longer in the journal .*records 1 to"),
        closing(Tail(journal, 0)) as tail,
    ):
        tail.read()
    assert state_hash(load_newest(journal)) == before
    assert await reopened(journal) == await reopened(kept)


async def test_without_a_readable_snapshot_a_start_goes_by_the_base(journal, tmp_path):
    kept = shutil.copytree(journal, tmp_path / "copy")
    carry_out(journal, plan(journal, [], LATER), None)
    for path in snapshots(journal):
        path.write_bytes(b"torn")
    assert await reopened(journal) == await reopened(kept)


def test_a_second_time_begins_at_the_base(journal, tmp_path):
    archive = tmp_path / "archive"
    for needed in (100, 200, 290):
        planned = plan(journal, [Need(needed, "the ledger")], LATER)
        assert planned.files
        carry_out(journal, planned, archive)
        assert [sequence_of(path) for path in bases(journal)] == [planned.through]
        assert records(journal, archive) == list(range(1, 401))
    assert whereabouts(journal).count("were moved") == 3


def test_an_archive_without_its_first_segments_is_read_from_its_base(journal, tmp_path):
    first = plan(journal, [Need(100, "the ledger")], LATER)
    carry_out(journal, first, None)
    carry_out(journal, plan(journal, [Need(250, "the ledger")], LATER), tmp_path / "archive")
    assert records(journal, tmp_path / "archive") == list(range(first.through + 1, 401))


def test_records_that_do_not_lead_to_the_snapshot_stay(journal):
    newest = snapshots(journal)[0]
    state = load_newest(journal)
    state.deposited += 1
    assert save(journal, state) == newest
    planned = plan(journal, [], LATER)
    with pytest.raises(PruneRefused, match="not what the journal's records come to"):
        carry_out(journal, planned, None)
    assert all(path.exists() for path in planned.files)
    assert not bases(journal)


def test_a_damaged_newest_snapshot_keeps_everything(journal):
    newest = snapshots(journal)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    planned = plan(journal, [], LATER)
    with pytest.raises(PruneRefused, match="cannot be read"):
        carry_out(journal, planned, None)
    assert records_there(journal) == list(range(1, 401))


def records_there(directory: Path) -> list[int]:
    with closing(Tail(directory, 0)) as tail:
        return [sequence for sequence, _ in tail.read()]


def test_a_damaged_record_keeps_everything(journal):
    path = segments(journal)[1][1]
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    planned = plan(journal, [], LATER)
    with pytest.raises(JournalCorrupt):
        carry_out(journal, planned, None)
    assert all(path.exists() for path in planned.files)


def test_another_file_in_the_archive_is_not_overwritten(journal, tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    planned = plan(journal, [], LATER)
    other = archive / planned.files[0].name
    other.write_bytes(b"another exchange's")
    with pytest.raises(PruneRefused, match="another file"):
        carry_out(journal, planned, archive)
    assert other.read_bytes() == b"another exchange's"
    assert records_there(journal) == list(range(1, 401))


def test_an_archive_in_the_journal_is_refused(journal):
    with pytest.raises(PruneRefused, match="own directory"):
        carry_out(journal, plan(journal, [], LATER), journal / "old")


def test_one_prunes_at_a_time(journal):
    held = lock(journal, pruning.LOCK)
    with pytest.raises(JournalInUse):
        carry_out(journal, plan(journal, [], LATER), None)
    os.close(held)


PRUNING = """
import sys
from pathlib import Path
from matcher import pruning
pruning.RECENT = 20
directory, archive = Path(sys.argv[1]), Path(sys.argv[2])
planned = pruning.plan(directory, [pruning.Need(250, "the ledger")], 1 << 62)
print("go", flush=True)
pruning.carry_out(directory, planned, archive if sys.argv[3] == "archive" else None)
"""


@pytest.mark.parametrize("how", ["archive", "delete"])
def test_killed_at_any_instant_nothing_is_missing_and_another_run_ends_it(journal, tmp_path, how):
    """Between two system calls that change something: each is a place to be killed at, found by counting them."""
    killed = 0
    for at in range(1, 200, 3 if how == "archive" else 1):
        directory, archive = tmp_path / f"{how}{at}", tmp_path / f"{how}{at}-archive"
        shutil.copytree(journal, directory)
        ended = _killed_at(directory, archive, how, at)
        there = archive if archive.exists() else None
        if how == "archive":
            assert records(directory, there) == list(range(1, 401))
        found = records(directory)
        assert found == list(range(found[0], 401))
        assert found[0] <= 251
        if ended == 0:
            break
        killed += 1
        assert ended == -signal.SIGKILL
        assert _killed_at(directory, archive, how, 10**6) == 0
        done = records(directory)
        assert done[0] > 200
        assert records(directory, archive if how == "archive" else None)[0] == (
            1 if how == "archive" else done[0]
        )
        shutil.rmtree(directory)
    assert killed >= 5


KILLED = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[4])
def heard(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.mkdir") or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed_at(directory: Path, archive: Path, how: str, change: int) -> int:
    """Exit status of a run that kills itself just before its so-manieth change of the file system."""
    program = KILLED + PRUNING.replace("planned =", "sys.addaudithook(heard)\nplanned =", 1)
    command = [sys.executable, "-c", program, str(directory), str(archive), how, str(change)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode


RUNNING = """
import asyncio, sys, time
from pathlib import Path
from matcher import commands as c
from matcher.engine import Engine
async def main():
    engine = Engine(Path(sys.argv[1]), time.time_ns, segment_bytes=1 << 13, snapshot_after=300)
    number = engine.state.deposited
    while True:
        number += 1
        await engine.ask(c.CreditDeposit(1, 1, f"deposit {number}"))
        print(number, flush=True)
asyncio.run(main())
"""


async def test_pruned_again_and_again_beside_an_engine_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(pruning, "RECENT", 200)
    directory, archive = tmp_path / "journal", tmp_path / "archive"
    rng, acknowledged, pruned = random.Random(4), 0, 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", RUNNING, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            first = int(child.stdout.readline())
            assert first > acknowledged
            until = time.monotonic() + 1.5 + rng.random()
            while time.monotonic() < until:
                pruned += await asyncio.to_thread(_pruned, directory, archive)
                await asyncio.sleep(0.05)
            child.send_signal(signal.SIGKILL)
            acknowledged = max([first, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
    assert pruned > 3
    everything = records(directory, archive)
    assert everything == list(range(1, synced_through(directory) + 1))
    state = Exchange()
    with closing(Tail(directory, 0, archive)) as tail:
        while found := tail.read():
            for _, event in found:
                apply(state, event)
    assert state.deposited >= acknowledged
    lines = (directory / "pruned").read_text().splitlines()
    assert json.loads(lines[-1])["through"] == segments(directory)[0][0] - 1


def _pruned(directory: Path, archive: Path) -> int:
    """How many segments went; none while there are no two snapshots yet."""
    try:
        planned = plan(directory, [], 1 << 62)
    except PruneRefused:
        return 0
    if planned.files:
        carry_out(directory, planned, archive)
    return len(planned.files)
