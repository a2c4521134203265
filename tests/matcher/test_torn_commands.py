"""A crash leaves all of a command in the journal or nothing of it: who repeats it gets the first answer, or is new to the exchange."""

import asyncio
import os
import shutil
import struct
from contextlib import closing
from typing import NamedTuple

import base58
import pytest

from core import events as e
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import Engine
from matcher.image import state_hash
from matcher.journal import Journal
from matcher.records import encode, record_at
from matcher.recovery import End, JournalCorrupt, replay
from matcher.rejections import Repeated
from matcher.segments import WATERMARK, segments
from matcher.tail import Tail

START = 1_700_000_000 * SECOND
SIZE = 10


def request(trader):
    return c.OpenRequest(trader, "key", 1, 1, SIZE, 601_000, SECOND, all_or_none=True)


async def indexed(engine):
    for market in DEFAULT_MARKETS:
        await engine.ask(c.UpdateIndex(market.id, 600_000, 0, START, "test"))


async def standing(engine, makers):
    for number, maker in enumerate(makers):
        asks = ((600_100 + 100 * number, SIZE // len(makers)),)
        await engine.ask(c.SetQuotes(maker, 1, (), asks, START + SECOND))


class Written(NamedTuple):
    """A journal whose last command filled the trader's request twice: its file, and where that command's records begin and end."""

    path: object
    makers: list
    trader: int
    before: int
    untouched: str
    ends: list


async def written(directory):
    engine = Engine(directory, lambda: START, segment_bytes=1 << 16)
    for market in DEFAULT_MARKETS:
        await engine.ask(c.ListMarket(market))
    await indexed(engine)
    accounts = []
    for number in (1, 2, 3):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        (registered,) = await engine.ask(c.RegisterAgent(owner, "a"))
        await engine.ask(c.BindSlot(registered.account, 0, registered.account))
        await engine.ask(c.CreditDeposit(registered.account, 10**12, f"deposit-{number}"))
        accounts.append(registered.account)
    *makers, trader = accounts
    await standing(engine, makers)
    before, untouched = engine.synced, state_hash(engine.state)
    durable = [event for event in await engine.ask(request(trader)) if type(event) in e.DURABLE_TYPES]
    assert [type(event).__name__ for event in durable] == ["Filled", "Filled", "RequestClosed"]
    engine.close()
    for snapshot in directory.glob("*.snapshot"):
        snapshot.unlink()
    ((_, path),) = segments(directory)
    data, ends = memoryview(path.read_bytes()), [0]
    while (stored := record_at(data, ends[-1])) is not None:
        ends.append(stored.end)
    return Written(path, makers, trader, before, untouched, ends[before:])


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    return asyncio.run(written(tmp_path_factory.mktemp("written") / "journal"))


def torn(journal, directory, at, synced):
    """A copy of the journal of which the disk has the first `at` bytes and the watermark `synced`."""
    shutil.copytree(journal.path.parent, directory)
    path = directory / journal.path.name
    content = path.read_bytes()
    path.write_bytes(content[:at].ljust(journal.ends[-1] + 1_000, b"\0"))
    (directory / WATERMARK).write_bytes(struct.pack("@Q", synced))
    return directory


async def repeated(directory, journal):
    """What the trader holds after a start and a repeat of the request, and whether the answer was the first one's."""
    engine = Engine(directory, lambda: START, segment_bytes=1 << 16)
    try:
        await indexed(engine)
        await standing(engine, journal.makers)
        outcome = await engine.ask(request(journal.trader))
        return engine.state.accounts[journal.trader].positions[1].size, isinstance(outcome, Repeated)
    finally:
        engine.close()


@pytest.mark.parametrize("records", range(4))
async def test_a_repeat_after_a_crash_between_any_two_records_fills_once(journal, tmp_path, records):
    directory = torn(journal, tmp_path / "j", journal.ends[records], journal.before)
    assert await repeated(directory, journal) == (SIZE, records == 3)


def test_a_crash_at_any_byte_of_a_command_leaves_all_of_it_or_nothing(journal, tmp_path, monkeypatch):
    # Hundreds of starts, each of which would wait for the disk.
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    begin, last = journal.ends[0], journal.ends[-1]
    content = bytearray(journal.path.read_bytes()[: last + 1_000])
    directory = tmp_path / "j"
    directory.mkdir()
    path = directory / journal.path.name
    for at in range(begin, last + 1):
        path.write_bytes(content[:at].ljust(len(content), b"\0"))
        found = []
        end = replay(directory, 0, lambda sequence, _, found=found: found.append(sequence))
        # A record's last byte may be a zero, which is there although it never got there.
        there = record_at(memoryview(content), journal.ends[-2]) if not any(content[at:last]) else None
        assert end.sequence == len(found) == journal.before + (3 if there else 0), at
        assert end.offset == (last if there else begin)
        assert not any(path.read_bytes()[end.offset :])


async def test_half_a_command_changes_nothing_of_the_state(journal, tmp_path):
    directory = torn(journal, tmp_path / "j", journal.ends[1], journal.before)
    state = (engine := Engine(directory, lambda: START, segment_bytes=1 << 16)).state
    engine.close()
    assert state.accounts[journal.trader].positions == {}
    assert state.last_fill == 0
    assert state.seq == journal.before + 1, "the start's own record, in the place of the command's first"
    assert state.accounts[journal.trader].keys == {}


@pytest.mark.parametrize("synced", [1, 2, 3])
def test_a_command_of_which_anything_was_synced_is_never_cut(journal, tmp_path, synced):
    directory = torn(journal, tmp_path / "j", journal.ends[2], journal.before + synced)
    content = (directory / journal.path.name).read_bytes()
    with pytest.raises(JournalCorrupt, match=f"up to record {journal.before} only"):
        replay(directory, 0, lambda *_: None)
    assert (directory / journal.path.name).read_bytes() == content


def test_a_later_record_that_knew_the_command_to_be_synced_stops_the_start(journal, tmp_path):
    directory = torn(journal, tmp_path / "j", journal.ends[-1], journal.before)
    path = directory / journal.path.name
    content = bytearray(path.read_bytes())
    content[journal.ends[2] + 4] ^= 1
    after = encode(journal.before + 4, 0, e.DepositCredited(1, 16, 1, "later"))
    content[journal.ends[-1] : journal.ends[-1] + len(after)] = after
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match=f"record {journal.before + 3} is damaged"):
        replay(directory, 0, lambda *_: None)
    assert path.read_bytes() == content


def test_half_a_command_before_another_segment_stops_the_start(journal, tmp_path):
    directory = torn(journal, tmp_path / "j", journal.ends[1], journal.before)
    path = directory / journal.path.name
    path.write_bytes(path.read_bytes()[: journal.ends[1]])
    next_path = directory / f"{journal.before + 2:020d}.journal"
    next_path.write_bytes(encode(journal.before + 2, 0, e.DepositCredited(1, 16, 1, "later")))
    with pytest.raises(JournalCorrupt, match="later files follow"):
        replay(directory, 0, lambda *_: None)


async def test_a_follower_gets_whole_commands_whatever_it_asks_for(tmp_path):
    sizes, synced = [3, 1, 7, 2, 40, 1, 1, 5], asyncio.Queue()
    journal = Journal(tmp_path, End(0, None, 0), asyncio.get_running_loop(), synced.put_nowait, 300)
    ends = []
    for size in sizes:
        command = [e.DepositCredited(1, 16, 1, f"key-{place}") for place in range(size)]
        ends.append(journal.append(command))
        assert await synced.get() == ends[-1]
    journal.close()
    assert len(segments(tmp_path)) > 2
    for limit in range(1, 12):
        with closing(Tail(tmp_path, 0)) as tail:
            seen = []
            while records := tail.read(limit):
                seen += [sequence for sequence, _ in records]
                assert seen[-1] in ends
        assert seen == list(range(1, sum(sizes) + 1))
