"""A disk that gets full: what may add risk is refused below the floor, and what was acknowledged survives a disk that has no room."""

import os
import subprocess
import sys
from pathlib import Path

import base58
import pytest

from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher import room
from matcher.engine import Engine
from matcher.journal import STOPPED
from matcher.rejections import Rejection
from matcher.room import Room

START = 1_700_000_000 * SECOND
FLOOR = 1_000


class Disk:
    """The operating system's answer."""

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, directory: Path) -> int:
        if self.free < 0:
            raise OSError("gone")
        return self.free


@pytest.fixture
def disk(monkeypatch) -> Disk:
    """A disk that is looked at every time."""
    monkeypatch.setattr(room, "LOOK_EVERY", 0)
    return Disk(FLOOR)


@pytest.mark.parametrize(("free", "short"), [(FLOOR, False), (FLOOR - 1, True), (0, True), (-1, True)])
def test_room_is_short_below_the_floor(tmp_path, disk, free, short):
    found = Room(tmp_path, FLOOR, disk)
    disk.free = free
    assert found.short is short
    assert found.free == max(0, free)


def test_the_disk_is_not_looked_at_for_every_request(tmp_path):
    disk = Disk(FLOOR)
    found = Room(tmp_path, FLOOR, disk)
    disk.free = 0
    assert not found.short


def test_free_space_is_what_the_system_says(tmp_path):
    found = os.statvfs(tmp_path)
    assert 0 < room.free_bytes(tmp_path) <= found.f_blocks * found.f_frsize


def owner(number: int) -> str:
    return base58.b58encode(number.to_bytes(32, "big")).decode()


async def agent(engine: Engine, number: int) -> int:
    (registered,) = await engine.ask(c.RegisterAgent(owner(number), "a"))
    await engine.ask(c.BindSlot(registered.account, 0, registered.account))
    await engine.ask(c.CreditDeposit(registered.account, 10**12, f"d{number}"))
    return registered.account


async def test_below_the_floor_only_what_may_add_risk_is_refused(tmp_path, disk):
    engine = Engine(tmp_path, lambda: START)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    await engine.ask(c.UpdateIndex(1, 600_000, 0, START, "test"))
    maker, trader = await agent(engine, 1), await agent(engine, 2)
    quotes = c.SetQuotes(maker, 1, ((599_900, 1_000),), ((600_100, 1_000),), START + SECOND)
    assert isinstance(await engine.ask(quotes), list)
    buys = c.OpenRequest(trader, "buys", 1, 1, 10, 601_000, SECOND)
    engine.room = Room(tmp_path, FLOOR, disk)
    assert isinstance(await engine.ask(buys), list), "exactly the floor is enough"

    disk.free = FLOOR - 1
    before = engine.state.seq
    for adds in (
        c.OpenRequest(trader, "more", 1, 1, 10, 601_000, SECOND),
        c.OpenRequest(trader, "sells", 1, -1, 10, 599_000, SECOND),
        c.RegisterAgent(owner(3), "a"),
    ):
        refused = await engine.ask(adds)
        assert isinstance(refused, Rejection)
        assert (refused.code, refused.retryable) == ("no_room", True)
    assert engine.state.seq == before
    for passes in (
        buys,
        c.RegisterAgent(owner(2), "a"),
        quotes,
        c.OpenRequest(trader, "reduces", 1, -1, 10, 599_000, SECOND, reduce_only=True),
        c.CancelAll(maker),
        c.UpdateIndex(1, 600_001, 0, START, "test"),
        c.ReserveWithdrawal(trader, 1_000_000, "w"),
    ):
        assert not isinstance(await engine.ask(passes), Rejection), passes
    assert engine.state.accounts[trader].positions == {}

    disk.free = FLOOR
    assert isinstance(await engine.ask(c.RegisterAgent(owner(3), "a")), list)
    engine.close()


UNTIL_FULL = """
import asyncio, resource, sys, time
from pathlib import Path
from matcher import commands as c
from matcher.engine import Engine
async def main():
    engine = Engine(Path(sys.argv[1]), time.time_ns, segment_bytes=1 << 14, free_min=0)
    number = engine.state.deposited
    print(number, flush=True)
    if sys.argv[2] == "full":
        while engine.synced < engine.state.seq:
            await asyncio.sleep(0.001)
        # The system refuses bytes beyond, in the middle of a record too, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 13, 1 << 14))
    while True:
        number += 1
        await engine.ask(c.CreditDeposit(1, 1, f"deposit {number}"))
        print(number, flush=True)
asyncio.run(main())
"""


def test_a_disk_without_room_ends_the_process_and_nothing_acknowledged_is_lost(tmp_path):
    acknowledged = 0
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", UNTIL_FULL, str(tmp_path), "full"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
        assert ended.returncode == STOPPED, ended.stderr
        assert "cannot be written" in ended.stderr
        first, *others = (int(line) for line in ended.stdout.split())
        assert first >= acknowledged
        assert others == list(range(first + 1, first + 1 + len(others)))
        acknowledged = max([first, *others])
    assert acknowledged > 10
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_FULL, str(tmp_path), "room"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as again:
        assert again.stdout is not None
        first = int(again.stdout.readline())
        assert first >= acknowledged
        assert int(again.stdout.readline()) == first + 1, "with room again it goes on"
        again.kill()
