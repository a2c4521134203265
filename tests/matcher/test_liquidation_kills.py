"""Processes killed inside liquidations, with kill -9: started again they come to the end of a process that was never killed."""

import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core import liquidation_events as le
from core.events import EpochStarted, Filled
from matcher.apply import apply
from matcher.retrace import retrace
from matcher.state import Exchange, conserved, positions_zero_sum
from matcher.tail import Tail

PROGRAM = Path(__file__).with_name("crashing_exchange.py")
ROOT = Path(__file__).parents[2]
KILLS = 6
STEPS = (
    le.LiquidationStarted
    | le.LiquidationSliced
    | le.TakenOver
    | le.Deleveraged
    | le.LiquidationEnded
    | Filled
)


def start(directory):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(directory)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def records(directory):
    with closing(Tail(directory, 0)) as tail:
        return tail.read()


def liquidating(found):
    """Whether a liquidation goes on, and how many steps there were."""
    begun = sum(isinstance(event, le.LiquidationStarted) for _, event in found)
    ended = sum(isinstance(event, le.LiquidationEnded) for _, event in found)
    return begun > ended, sum(isinstance(event, STEPS) for _, event in found if begun)


def kill_inside(directory, rng):
    """Run the program and kill it some steps further on; whether it was inside a liquidation then."""
    with start(directory) as child:
        wanted = liquidating(records(directory))[1] + rng.randrange(1, 5) if directory.exists() else 1
        while child.poll() is None:
            inside, steps = liquidating(records(directory)) if directory.exists() else (False, 0)
            if inside and steps >= wanted:
                break
        child.send_signal(signal.SIGKILL)
    return liquidating(records(directory))[0]


def finished(directory):
    """The state after the program has run to its end."""
    with start(directory) as child:
        printed, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    state = Exchange()
    for _, event in records(directory):
        apply(state, event)
    assert state.seq == int(printed)
    return state


def standings(state):
    return {
        account.id: (account.balance, {id: (held.size, held.cost) for id, held in account.positions.items()})
        for account in state.accounts.values()
    }


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("unkilled") / "journal"
    state = finished(directory)
    kinds = {type(event) for _, event in records(directory)}
    assert kinds >= {le.LiquidationSliced, le.TakenOver, le.Deleveraged, le.LiquidationEnded}
    return standings(state)


@pytest.mark.parametrize("seed", range(2))
def test_a_process_killed_inside_liquidations_comes_to_the_same_end(tmp_path, unkilled, seed):
    directory, rng = tmp_path / "journal", random.Random(seed)
    inside = sum(kill_inside(directory, rng) for _ in range(KILLS))
    assert inside > KILLS // 2
    state = finished(directory)
    assert standings(state) == unkilled
    assert conserved(state)
    assert positions_zero_sum(state)
    assert all(
        state.margin_of(account).equity >= 0 for account in state.accounts.values() if account.positions
    )
    found = records(directory)
    assert sum(isinstance(event, EpochStarted) for _, event in found) > KILLS // 2
    for number in range(1, state.last_liquidation + 1):
        steps = retrace(lambda: found, number)
        assert [step.differences for step in steps] == [[]] * len(steps)
