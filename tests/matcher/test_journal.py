"""The journal on a real disk: nothing synced is lost, nothing unsynced is shown, segments follow each other."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matcher.journal import Journal
from matcher.recovery import End, replay
from matcher.segments import UNFINISHED, JournalInUse, NextSegment, lock, segments
from matcher.tail import Tail


async def test_what_was_synced_comes_back_and_goes_on(tmp_path, write, read):
    await write(tmp_path / "j", 50)
    await write(tmp_path / "j", 50, start=51)
    assert read(tmp_path / "j")[0] == list(range(1, 101))
    assert read(tmp_path / "j", after=60)[0] == list(range(61, 101))


async def test_segments_follow_each_other(tmp_path, write, read):
    await write(tmp_path / "j", 200, segment_bytes=1_000)
    for start in range(201, 211):
        await write(tmp_path / "j", 1, start=start, segment_bytes=100)
    assert len(segments(tmp_path / "j")) > 3
    assert read(tmp_path / "j")[0] == list(range(1, 211))
    assert read(tmp_path / "j", after=205)[0] == list(range(206, 211))


def test_one_writer_at_a_time(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(JournalInUse, match="another process"):
        lock(tmp_path)
    os.close(held)
    os.close(lock(tmp_path))


async def test_a_follower_sees_synced_records_only_and_in_order(tmp_path, event):
    directory = tmp_path / "j"
    directory.mkdir()
    loop = asyncio.get_running_loop()
    synced: list[int] = []
    journal = Journal(directory, End(0, None, 0), loop, synced.append, 2_000)
    tail = Tail(directory, 0)
    seen: list[int] = []
    written = 0
    while len(seen) < 300:
        for _ in range(random.Random(written).randint(0, 20)):
            if written < 300:
                written += 1
                journal.append([event(written)])
        await asyncio.sleep(0)
        batch = tail.read(limit=7)
        assert all(sequence <= tail.synced for sequence, _ in batch)
        seen += [sequence for sequence, _ in batch]
    assert seen == list(range(1, 301))
    late = Tail(directory, 250)
    assert [sequence for sequence, _ in late.read()] == list(range(251, 301))
    for follower in (tail, late):
        follower.close()
    journal.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from core.events import DepositCredited
from matcher.journal import Journal
from matcher.recovery import replay
async def main():
    directory = Path(sys.argv[1]); directory.mkdir(exist_ok=True)
    end = replay(directory, 0, lambda *_: None)
    def synced(sequence):
        print(sequence, flush=True)
    journal = Journal(directory, end, asyncio.get_running_loop(), synced, 1 << 14)
    number = end.sequence
    while True:
        for _ in range(3):
            number += 1
            journal.append([DepositCredited(number, 16, number, f"key-{number}")])
        await asyncio.sleep(0)
asyncio.run(main())
"""


def test_killed_at_random_instants_no_acknowledged_record_is_lost(tmp_path, read):
    rng = random.Random(7)
    acknowledged = 0
    for _ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "j")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline()
            time.sleep(rng.random() * 0.1)
            child.send_signal(signal.SIGKILL)
            lines = child.stdout.read().split("\n")
        whole = [int(line) for line in lines[:-1] if line]
        acknowledged = max([acknowledged, *whole])
        found, end = read(tmp_path / "j")
        assert found == list(range(1, end.sequence + 1))
        assert end.sequence >= acknowledged
    assert acknowledged > 100


async def test_segments_prepared_ahead_hold_every_record_in_order(tmp_path, event, read):
    directory = tmp_path / "j"
    directory.mkdir()
    done: asyncio.Queue[int] = asyncio.Queue()
    end = replay(directory, 0, lambda *_: None)
    journal = Journal(directory, end, asyncio.get_running_loop(), done.put_nowait, 400)
    for number in range(1, 41):
        journal.append([event(number)])
        await done.get()
    journal.close()
    assert len(segments(directory)) == 4
    assert {path.stat().st_size for _, path in segments(directory)} == {400}
    assert read(directory)[0] == list(range(1, 41))


def test_a_next_segment_that_was_prepared_in_another_size_is_not_used(tmp_path):
    following = NextSegment(tmp_path, 400)
    following.prepare()
    os.close(following.take(7, 900))
    assert [(first, path.stat().st_size) for first, path in segments(tmp_path)] == [(7, 900)]
    following.prepare()
    os.close(following.take(9, 400))
    assert [(first, path.stat().st_size) for first, path in segments(tmp_path)] == [(7, 900), (9, 400)]
    assert not (tmp_path / UNFINISHED).exists()


def test_a_next_segment_that_could_not_be_prepared_is_made_when_it_is_needed(tmp_path):
    directory = tmp_path / "later"
    following = NextSegment(directory, 400)
    following.prepare()
    following.close()
    following.prepare()
    with pytest.raises(FileNotFoundError):
        following.take(1, 400)
    directory.mkdir()
    os.close(following.take(1, 400))
    assert [first for first, _ in segments(directory)] == [1]
