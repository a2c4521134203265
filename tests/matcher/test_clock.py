"""The exchange's clock follows the wall's, but not a step that no clock makes by itself."""

import time

import pytest

from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from endings import sentence
from matcher import commands as c
from matcher.clock import STEP_MAX, ClockBehind, SteadyClock, passed, refuse_if_behind
from matcher.engine import Engine

HOUR = 3_600 * SECOND


class Hands:
    """Wall time and passed time, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.passed = 1_700_000_000 * SECOND, 5 * SECOND
        self.clock = SteadyClock(lambda: self.wall, lambda: self.passed)

    def move(self, wall: int, passed: int) -> int:
        """The clock's own movement."""
        before = self.clock()
        self.wall += wall
        self.passed += passed
        return self.clock() - before


def test_corrections_are_followed_and_larger_steps_are_not():
    hands = Hands()
    assert hands.move(SECOND, SECOND) == SECOND
    assert hands.move(STEP_MAX + SECOND, SECOND) == STEP_MAX + SECOND
    assert hands.move(-STEP_MAX, 0) == -STEP_MAX
    for step in (HOUR, -HOUR):
        assert hands.move(step + SECOND, SECOND) == SECOND
        assert hands.move(SECOND, SECOND) == SECOND
        assert hands.move(-step, 0) == 0
    assert hands.clock() == hands.wall


def test_a_suspended_machine_sleeps_without_a_step():
    hands = Hands()
    assert hands.move(HOUR, HOUR) == HOUR
    assert abs(SteadyClock()() - time.time_ns()) < STEP_MAX
    assert passed() <= passed()


async def test_a_step_of_the_wall_clock_stops_no_market(tmp_path):
    hands = Hands()
    engine = Engine(tmp_path, hands.clock)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    hands.move(HOUR, SECOND)
    await engine.ask(c.UpdateIndex(1, 600_000, 0, hands.clock(), "t"))
    hands.move(SECOND - HOUR, 0)
    await engine.ask(c.UpdateIndex(1, 600_001, 0, hands.clock(), "t"))
    assert engine.last_at == hands.clock() <= engine.state.fills_until[1]
    engine.close()


@pytest.mark.parametrize("from_snapshot", [True, False])
async def test_an_exchange_starts_only_when_its_clock_has_caught_up_with_its_journal(tmp_path, from_snapshot):
    hands = Hands()
    engine = Engine(tmp_path, hands.clock)
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    at = engine.state.at
    engine.close()
    if not from_snapshot:
        for snapshot in tmp_path.glob("*.snapshot"):
            snapshot.unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ClockBehind, match=r"clock is 11 s behind .* of 2023-11-14 22:13:20 UTC"):
        Engine(tmp_path, lambda: at - STEP_MAX - 1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    again = Engine(tmp_path, lambda: at - STEP_MAX)
    assert (again.last_at, again.state.at) == (at, at)
    again.close()


def test_who_starts_it_is_told_by_how_much_the_clock_is_behind():
    with pytest.raises(ClockBehind) as refused:
        refuse_if_behind(1_700_003_600 * SECOND, 1_700_000_000 * SECOND)
    told = sentence(refused.value)
    assert told is not None
    assert told.startswith("this machine's clock is 3600 s behind the journal's newest record")


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_is_told_once_and_so_is_its_end(step, caplog):
    hands = Hands()
    for _ in range(3):
        hands.move(step if not caplog.records else 0, 0)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    hands.move(-step, 0)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
