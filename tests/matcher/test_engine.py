"""The engine over a real journal: answers wait for the disk, restarts bring everything back, overload sheds the right commands."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count, pairwise
from pathlib import Path

import base58
import pytest

from core import events as e
from core.market import DEFAULT_MARKETS, MarketStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import TURN, Engine
from matcher.image import state_hash
from matcher.journal import STOPPED
from matcher.recovery import JournalCorrupt
from matcher.rejections import Rejection, Repeated
from matcher.replaying import replayed
from matcher.segments import JournalInUse, lock
from matcher.snapshot import SnapshotUnreadable, load_newest, save
from matcher.snapshot_process import LOCK, follow
from matcher.state import conserved
from matcher.watch import LOOKS_AT_ONCE

START = 1_700_000_000 * SECOND


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def owner(number: int) -> str:
    return base58.b58encode(number.to_bytes(32, "big")).decode()


async def populate(engine: Engine, clock: Clock, agents: int = 2) -> list[int]:
    for market in DEFAULT_MARKETS:
        await engine.ask(c.ListMarket(market))
        await engine.ask(c.UpdateIndex(market.id, 600_000, 0, clock.now, "test"))
    accounts = []
    for number in range(1, agents + 1):
        registered = await engine.ask(c.RegisterAgent(owner(number), "a"))
        account = registered[0].account  # type: ignore[union-attr]
        await engine.ask(c.BindSlot(account, 0, account))
        await engine.ask(c.CreditDeposit(account, 10**12, f"d{account}"))
        accounts.append(account)
    return accounts


async def stop(engine: Engine) -> None:
    """End the journal without the farewell of `close`, as a crash does once its records are synced."""
    while engine.synced < engine.state.seq and engine.waiting:
        await asyncio.sleep(0.001)
    engine._journal.close()
    os.close(engine._lock)


def request(account: int, key: str, **more: object) -> c.OpenRequest:
    fields = {"market": 1, "side": 1, "size": 10, "limit": 601_000, "ttl": SECOND, **more}
    return c.OpenRequest(account=account, key=key, **fields)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_fill_is_answered_only_after_its_records_are_synced(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 1_000),), clock.now + SECOND))
    told: list[tuple[int, str]] = []
    engine.listen(lambda sequence, event: told.append((sequence, type(event).__name__)))
    answers: list[int] = []
    engine.submit(request(trader, "k"), lambda outcome: answers.append(engine.synced))
    assert engine.state.accounts[trader].positions[1].size == 10
    assert not answers
    assert not told
    sequence = engine.state.seq
    while not answers:
        await asyncio.sleep(0.001)
    assert answers == [sequence]
    assert told == [(sequence - 1, "Filled"), (0, "StandingReduced"), (sequence, "RequestClosed")]
    engine.close()


async def test_the_loop_has_its_turn_while_very_much_is_due(tmp_path, clock):
    """Every look at the clock takes a tenth of what may go on at once."""
    engine = Engine(tmp_path, clock)
    seen: list[int] = []

    def slow() -> int:
        clock.now += TURN // 10
        return clock.now

    engine.clock = slow
    engine.state.watch.suspect_many(list(range(10_000_000, 10_000_000 + 100 * LOOKS_AT_ONCE)))
    engine.submit(c.Advance(), None)
    while engine.state.watch.behind:
        await asyncio.sleep(0)
        seen.append(engine.state.watch.stamp)
    steps = [after - before for before, after in pairwise(seen)]
    assert len(steps) > 2
    assert max(steps) <= 2 * 10 * LOOKS_AT_ONCE
    engine.clock = clock
    engine.close()


async def test_a_repeat_of_an_unsynced_answer_waits_for_it_too(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 1_000),), clock.now + SECOND))
    answers: list[object] = []
    engine.submit(request(trader, "k"), answers.append)
    engine.submit(request(trader, "k"), answers.append)
    assert not answers
    while len(answers) < 2:
        await asyncio.sleep(0.001)
    assert isinstance(answers[1], Repeated)
    assert answers[1].events[0] in answers[0]
    engine.close()


@pytest.mark.parametrize(
    "command",
    [
        c.HoldSettlement(True, who="ada", why="a look"),
        c.HoldWithdrawals(True, who="ada", why="a look"),
        c.SetMarketStatus(1, MarketStatus.PAUSED, who="ada", why="a look"),
        c.SetLimits(1, position_cap=7, who="ada", why="a look"),
        c.SetInsuranceFloor(7, who="ada", why="a look"),
    ],
    ids=lambda command: type(command).__name__,
)
async def test_what_is_so_already_is_answered_once_that_is_on_disk(tmp_path, clock, command):
    engine = Engine(tmp_path, clock)
    await populate(engine, clock)
    answers: list[object] = []
    engine.submit(command, answers.append)
    engine.submit(command, answers.append)
    assert not answers
    while len(answers) < 2:
        await asyncio.sleep(0.001)
    assert [bool(events) for events in answers] == [True, False]
    assert await engine.ask(command) == []
    engine.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_restart_brings_the_same_state_back(tmp_path, clock, clean):
    engine = Engine(tmp_path, clock, segment_bytes=4_096)
    maker, trader = await populate(engine, clock)
    for number in range(50):
        await engine.ask(c.SetQuotes(maker, 1, ((599_000, 100),), ((600_100, 1_000),), clock.now + SECOND))
        await engine.ask(
            request(
                trader, f"k{number}", side=1 if number % 3 else -1, limit=600_100 if number % 3 else 599_000
            )
        )
    before = state_hash(engine.state)
    epoch = engine.state.epoch
    if clean:
        engine.close()
    else:
        await stop(engine)
    again = Engine(tmp_path, clock)
    assert again.state.epoch == epoch + 1
    assert conserved(again.state)
    again.state.epoch, again.state.seq = epoch, again.state.seq - 1
    assert state_hash(again.state) == before
    assert again.replayed == (0 if clean else engine.state.seq)
    await stop(again)


async def test_a_second_engine_on_the_same_journal_is_refused(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    with pytest.raises(JournalInUse):
        Engine(tmp_path, clock)
    engine.close()


async def test_overload_sheds_requests_and_lets_cancels_and_operators_pass(tmp_path, clock):
    engine = Engine(tmp_path, clock, waiting_max=3)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 1_000),), clock.now + SECOND))
    refused: list[object] = []
    for number in count():
        engine.submit(request(trader, f"k{number}"), None)
        if engine.waiting == 3:
            break
    engine.submit(request(trader, "more"), refused.append)
    assert isinstance(refused[0], Rejection)
    assert (refused[0].code, refused[0].retryable) == ("overloaded", True)
    passed: list[object] = []
    engine.submit(
        c.SetQuotes(maker, 1, (), (), clock.now + SECOND, expires_after=clock.now - 1), passed.append
    )
    assert (maker, 1) not in engine.state.book.standing
    engine.submit(c.CancelAll(maker), passed.append)
    engine.submit(c.UpdateIndex(1, 600_001, 0, clock.now, "t"), passed.append)
    while len(passed) < 3:
        await asyncio.sleep(0.001)
    assert all(isinstance(one, list) for one in passed)
    assert isinstance(await engine.ask(request(trader, "later")), list)
    engine.close()


async def test_overload_refuses_no_repeat_of_what_is_known(tmp_path, clock):
    """Whoever repeats does so because it was not answered: a refusal would tell it that nothing had come of it."""
    engine = Engine(tmp_path, clock, waiting_max=1)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 10),), clock.now + SECOND))
    await engine.ask(c.Subscribe(maker, (1,)))
    (opened,) = await engine.ask(request(trader, "open", limit=600_000))
    filled: list[object] = []
    engine.submit(request(trader, "filled"), filled.append)
    answers: list[object] = []
    for key in ("filled", "open", "new"):
        limit = 600_000 if key == "open" else 601_000
        engine.submit(request(trader, key, limit=limit), answers.append)
    engine.submit(request(trader, "filled", size=11), answers.append)
    assert [answer.code for answer in answers if isinstance(answer, Rejection)] == [
        "overloaded",
        "key_conflict",
    ]
    while len(answers) < 4:
        await asyncio.sleep(0.001)
    assert answers[2:] == [Repeated((filled[0][-1],)), Repeated((opened,))]
    assert filled[0][-1].filled == 10
    engine.close()


async def test_deadlines_fire_by_themselves(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.Subscribe(maker, (1,)))
    ended: list[e.RequestClosed] = []
    engine.listen(lambda _, event: ended.append(event) if isinstance(event, e.RequestClosed) else None)
    await engine.ask(request(trader, "k", ttl=SECOND // 4))
    clock.now += SECOND // 4
    for _ in range(100):
        if ended:
            break
        await asyncio.sleep(0.01)
    assert ended[0].outcome == "unfilled"
    engine.close()


async def test_a_deadline_fires_though_an_earlier_request_closed_before_its_own(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    maker, trader = await populate(engine, clock)
    await engine.ask(c.Subscribe(maker, (1,)))
    first = await engine.ask(request(trader, "first", ttl=SECOND // 4))
    await engine.ask(request(trader, "second", ttl=SECOND))
    await engine.ask(c.CancelRequest(trader, first[0].request))  # type: ignore[union-attr]
    ended: list[str] = []
    engine.listen(lambda _, event: ended.append(event.key) if isinstance(event, e.RequestClosed) else None)
    clock.now += SECOND // 4
    await asyncio.sleep(0.3)
    assert not ended
    assert engine.state.next_deadline() == START + SECOND
    clock.now = START + SECOND
    for _ in range(200):
        if ended:
            break
        await asyncio.sleep(0.01)
    assert ended == ["second"]
    left = engine.state.next_deadline() - START
    assert 5 * SECOND <= left < 10 * SECOND, "the next premium is all that is left"
    engine.close()


async def test_damaged_snapshots_are_passed_over(tmp_path, clock):
    engine = Engine(tmp_path, clock, segment_bytes=1_024)
    await populate(engine, clock, agents=6)
    save(tmp_path, engine.state)
    older = engine.state.seq
    await engine.ask(c.UpdateIndex(1, 600_001, 0, clock.now, "t"))
    newest = save(tmp_path, engine.state)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert load_newest(tmp_path).seq == older
    before = state_hash(engine.state)
    await stop(engine)
    again = Engine(tmp_path, clock)
    again.state.epoch, again.state.seq = 1, again.state.seq - 1
    assert state_hash(again.state) == before
    await stop(again)


async def test_a_running_engine_takes_snapshots_that_its_journal_reaches(tmp_path, clock):
    engine = Engine(tmp_path, clock, segment_bytes=1_024, snapshot_after=10)
    seen: set[int] = set()
    for number in range(1, 1_000):
        await engine.ask(c.RegisterAgent(owner(number), "a"))
        files = [int(path.stem) for path in tmp_path.glob("*.snapshot")]
        assert all(sequence <= engine.synced for sequence in files)
        seen.update(files)
        if len(seen) >= 4:
            break
        # A snapshot takes a process of its own: it is not there at once.
        await asyncio.sleep(0.01)
    assert len(seen) >= 4
    # The process may still be at work.
    engine._snapshots.wait()
    await stop(engine)
    before = state_hash(engine.state)
    assert len(list(tmp_path.glob("*.snapshot"))) == 2
    again = Engine(tmp_path, clock)
    assert again.replayed == engine.state.seq - max(int(path.stem) for path in tmp_path.glob("*.snapshot"))
    again.state.epoch, again.state.seq = 1, again.state.seq - 1
    assert state_hash(again.state) == before
    await stop(again)


async def test_a_long_replay_leads_to_a_snapshot(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    await populate(engine, clock, agents=10)
    await stop(engine)
    again = Engine(tmp_path, clock, snapshot_after=engine.state.seq)
    await again.ask(c.UpdateIndex(1, 600_001, 0, clock.now, "t"))
    again._snapshots.wait()
    assert load_newest(tmp_path).seq > engine.state.seq
    await stop(again)


async def test_a_snapshot_is_made_by_one_process_at_a_time(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    await populate(engine, clock)
    held = lock(tmp_path, LOCK)
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "matcher.snapshot_process", str(tmp_path)],
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 0
    assert not any(tmp_path.glob("*.snapshot"))
    with pytest.raises(JournalInUse):
        follow(tmp_path)
    os.close(held)
    assert follow(tmp_path) == engine.synced
    assert state_hash(load_newest(tmp_path)) == state_hash(engine.state)
    await stop(engine)


async def test_a_journal_that_is_being_written_replays_to_its_engine_s_state(tmp_path, clock):
    engine = Engine(tmp_path, clock)
    maker, trader = await populate(engine, clock)
    began = engine.state.seq
    follow(tmp_path)
    await engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 1_000),), clock.now + SECOND))
    await engine.ask(request(trader, "a"))
    seq, known = engine.state.seq, state_hash(engine.state)
    follow(tmp_path)
    await engine.ask(request(trader, "b"))
    # From the snapshot of when it began, and from the first record; not from the later snapshot, which would say nothing of these.
    assert state_hash(replayed(tmp_path, began, seq)) == known
    assert state_hash(replayed(tmp_path, 0, seq)) == known
    with pytest.raises(JournalCorrupt, match="no record after"):
        replayed(tmp_path, 0, engine.state.seq + 1)
    first = min(tmp_path.glob("*.snapshot"))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(SnapshotUnreadable):
        replayed(tmp_path, began, seq)
    engine.close()


async def test_a_stop_does_not_wait_for_a_snapshot(tmp_path, clock):
    engine = Engine(tmp_path, clock, snapshot_after=1)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    engine.close()
    assert engine._snapshots._process is None or engine._snapshots._process.returncode is not None
    assert [int(path.stem) for path in tmp_path.glob("*.snapshot")] == [engine.state.seq]


REGISTERING = """
import asyncio, sys, time
from pathlib import Path
import base58
from matcher import commands as c
from matcher.engine import Engine
async def main():
    engine = Engine(Path(sys.argv[1]), time.time_ns, segment_bytes=1 << 14, snapshot_after=7)
    number = len(engine.state.accounts)
    while True:
        number += 1
        await engine.ask(c.RegisterAgent(base58.b58encode(number.to_bytes(32, "big")).decode(), "a" * 20))
        print(number, flush=True)
asyncio.run(main())
"""


async def test_killed_while_snapshots_are_made_nothing_acknowledged_is_lost(tmp_path):
    directory = tmp_path / "j"
    acknowledged = 0
    for _ in range(4):
        there = set(directory.glob("*.snapshot"))
        with subprocess.Popen(
            [sys.executable, "-c", REGISTERING, str(directory)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            first = int(child.stdout.readline())
            assert first > acknowledged
            # One snapshot of this run is whole, and the next is due already.
            while child.poll() is None and not set(directory.glob("*.snapshot")) - there:
                time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
            acknowledged = max([first, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
    # A kill may come just after the rename: a torn file is there in any case.
    newest = max(directory.glob("*.snapshot"))
    newest.with_name(newest.name + ".writing").write_bytes(newest.read_bytes()[:-1])
    engine = Engine(directory, time.time_ns)
    assert len(engine.state.accounts) >= acknowledged
    assert engine.replayed < engine.state.seq - 1
    before = engine.state.seq
    await stop(engine)
    # The last one that was killed may have left a process behind, which ends by itself.
    async with asyncio.timeout(60):
        while not _follows(directory, before):
            await asyncio.sleep(0.05)
    assert not any(directory.glob("*.writing"))


def _follows(directory: Path, sequence: int) -> bool:
    """Whether no other process makes a snapshot; then one of `sequence` is made."""
    try:
        return follow(directory) == sequence
    except JournalInUse:
        return False


UNWRITABLE = """
import asyncio, sys, time
from pathlib import Path
from core.market import DEFAULT_MARKETS
from matcher import commands as c
from matcher.engine import Engine
async def main():
    engine = Engine(Path(sys.argv[1]), time.time_ns)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    print(engine.synced, flush=True)
    try:
        # Half of a surrogate pair can be held in memory, but not be encoded.
        engine.submit(c.UpdateIndex(1, 600_000, 0, time.time_ns(), "\\ud800"), None)
    finally:
        print("still serving", flush=True)
asyncio.run(main())
"""


async def test_an_event_applied_but_not_journaled_ends_the_process(tmp_path):
    directory = tmp_path / "j"
    ended = subprocess.run(
        [sys.executable, "-c", UNWRITABLE, str(directory)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert ended.returncode == STOPPED
    assert ended.stdout.split() == ["2"]
    assert "UnicodeEncodeError" in ended.stderr
    assert "an event was not both applied and journaled" in ended.stderr
    again = Engine(directory, time.time_ns)
    assert again.replayed == 2
    assert not again.state.indexes
    await stop(again)


async def test_a_stop_between_a_sync_and_the_news_of_it_writes_nothing_twice(tmp_path):
    clock = Clock()
    engine = Engine(tmp_path, clock)
    (registered,) = await engine.ask(c.RegisterAgent(owner(1), "a"))  # type: ignore[misc]
    engine.submit(c.SetTier(registered.account, 1), None)
    await asyncio.sleep(0)
    published = engine._journal._watermark
    while published.sequence < engine.state.seq:
        # The loop stays busy: what the journal's thread posts to it is not heard before the stop.
        time.sleep(0.001)
    engine.close()
    again = Engine(tmp_path, clock)
    assert (again.state.seq, again.state.accounts[registered.account].tier) == (engine.state.seq + 1, 1)
    again.close()


async def test_whenever_an_engine_under_load_is_stopped_its_journal_is_whole(tmp_path):
    clock = Clock()
    pauses = random.Random(1)
    for stopped in range(30):
        engine = Engine(tmp_path, clock, segment_bytes=1 << 14)
        before = engine.state.seq
        for _ in range(pauses.randrange(20)):
            engine.submit(c.RegisterAgent(owner(pauses.randrange(1, 10**6)), "a"), None)
            await asyncio.sleep(pauses.choice((0, 0, 0.0005)))
        engine.close()
        assert engine.synced == engine.state.seq >= before, stopped
    again = Engine(tmp_path, clock)
    assert again.state.seq == engine.state.seq + 1
    again.close()
