"""Every step that tells the engine something, through every fault: it happens once, and each try gets the first answer.

The engine never asks who sends a command or how often. So a lost reply, a killed worker and a second worker are the same command once
more, before or after the engine itself was killed, and the state is the same to the byte as if it had been sent once.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import base58
import pytest
from msgspec.structs import replace

from core.batches import BatchStatus
from core.custody_events import ExitDelaySeen
from core.events import Event
from core.exit_events import DeltasUnapplied, ExitReleased, ExitRequested
from core.funding_events import FundingSettled
from core.loss_limit_events import LossLimitsSeen
from core.market import DEFAULT_MARKETS
from core.operator_events import SettlementHeld
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import Engine
from matcher.image import state_hash
from matcher.rejections import Outcome, Rejection, Repeated
from matcher.state import conserved, positions_zero_sum

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 472_222 * HOUR
AGENT, MAKER, NEWCOMER = 16, 17, 18
RESERVED = c.ReserveWithdrawal(AGENT, 5_000_000, "rent")
HELD = c.HoldSettlement(True, why="the operator's key becomes another")
COMMANDS: dict[str, c.Command] = {
    "cut_batch": c.CutSettlement(1),
    "publish_status": c.AdvanceBatch(1, BatchStatus.SUBMITTED, ("signature",)),
    "watch_unbound: bind": c.BindSlot(NEWCOMER, 0, 4),
    "watch_deposits: credit": c.CreditDeposit(AGENT, 7_000_000, "signature:0"),
    "reconcile: hold": c.HoldSettlement(True, why="they differ"),
    "hold_for_rotation": HELD,
    "release_after_rotation": c.HoldSettlement(False, why="the operator's key becomes another"),
    "reserve": RESERVED,
    "finish: tell": c.FinishWithdrawal(1, True, "signature"),
    "pay_hour": c.SettleFunding(1, START // HOUR + 1),
    "seal_batch: tell": c.TakeUnapplied(1, 0, ((2, -1),)),
    "watch_deposits: claim": c.ClaimExit(AGENT, 5_000_000, "claim:signature:0"),
    "watch_deposits: stray": c.SeeStray("claim:stray:0", 3),
    "watch_exits: request": c.RequestExit(AGENT, 5_000_000, START // SECOND + 172_800),
    "watch_exits: release": c.ReleaseExit(AGENT, 0),
    "watch_exits: limit": c.SeeLossLimits(0, True, (c.LimitedSlot(AGENT, 10**9, 10**9, 0),)),
    "watch_exits: delay": c.SeeExitDelay(172_800, 86_400),
}
BEFORE: dict[str, list[c.Command]] = {
    "publish_status": [c.CutSettlement(1)],
    "finish: tell": [RESERVED],
    "release_after_rotation": [HELD],
    "seal_batch: tell": [c.CutSettlement(1)],
    "watch_exits: release": [c.RequestExit(AGENT, 5_000_000, START // SECOND + 172_800)],
}
"""What has happened by the time of the step."""


STANDS = (SettlementHeld, DeltasUnapplied, ExitRequested, ExitReleased, LossLimitsSeen, ExitDelaySeen)
"""Events of what is so from then on."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Exchange:
    """An engine with two agents that hold positions, which can be killed and started again on its journal."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock = directory, Clock()
        self.engine = Engine(directory, self.clock)

    async def begin(self, step: str) -> None:
        for market in DEFAULT_MARKETS:
            await self.done(c.ListMarket(market))
        for account in (AGENT, MAKER, NEWCOMER):
            owner = base58.b58encode(account.to_bytes(32, "big")).decode()
            await self.done(c.RegisterAgent(owner, f"agent {account}"))
        for account in (AGENT, MAKER):
            await self.done(c.BindSlot(account, 0, account - 14))
            await self.done(c.CreditDeposit(account, 10**10, f"first of {account}"))
        await self.index()
        await self.done(c.SetQuotes(MAKER, 1, (), ((600_000, 1_000),), self.clock.now + SECOND))
        await self.done(c.OpenRequest(AGENT, "buy", 1, 1, 100, 600_000, SECOND))
        if step == "pay_hour":
            await self.hour()
        for command in BEFORE.get(step, ()):
            await self.done(command)

    async def hour(self) -> None:
        """An hour in which the maker bids more than the index, so that the long agent owes funding at its end."""
        for _ in range(HOUR // MINUTE):
            self.clock.now += MINUTE
            await self.index()
            bids, asks = ((601_000, 1_000),), ((602_000, 1_000),)
            await self.done(c.SetQuotes(MAKER, 1, bids, asks, self.clock.now + MINUTE))
            while await self.done(c.Advance()):
                pass

    async def index(self) -> None:
        await self.done(c.UpdateIndex(1, 600_000, 0, self.clock.now, "test"))

    async def done(self, command: c.Command) -> Outcome:
        outcome = await self.engine.ask(command)
        assert not isinstance(outcome, Rejection), outcome
        return outcome

    def kill(self) -> None:
        """It dies, and another one starts on its journal."""
        self.end()
        self.engine = Engine(self.directory, self.clock)

    def end(self) -> None:
        """Without the farewell of `close`, and without a timer that would outlive the process; what was answered is on disk."""
        if self.engine._timer is not None:
            self.engine._timer.cancel()
        self.engine._journal.close()
        self.engine._snapshots.close()
        os.close(self.engine._lock)

    async def wait(self, nanos: int) -> None:
        """Let time pass, and whatever falls due in it happen."""
        self.clock.now += nanos
        while await self.done(c.Advance()):
            pass

    def hash(self) -> bytes:
        return state_hash(self.engine.state)


Exchanges = Callable[[str], Awaitable[Exchange]]


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchanges]:
    started: list[Exchange] = []

    async def begun(step: str) -> Exchange:
        started.append(Exchange(tmp_path))
        await started[-1].begin(step)
        return started[-1]

    yield begun
    for one in started:
        one.end()


def steps(*faults: str) -> pytest.MarkDecorator:
    """Every step, each marked as cells of the matrix."""
    return pytest.mark.parametrize(
        "step",
        [pytest.param(step, marks=[pytest.mark.cell(step, fault) for fault in faults]) for step in COMMANDS],
    )


def kept(event: Event) -> Event:
    """What a repeated answer has of the first one: not every command's time is remembered, and no hour's list of payments."""
    return replace(event, at=0, payments=()) if isinstance(event, FundingSettled) else replace(event, at=0)


def once(exchange: Exchange, first: Outcome, second: Outcome, before: bytes) -> None:
    """The second try got the first one's events and changed nothing."""
    assert isinstance(first, list)
    assert first
    if any(isinstance(event, STANDS) for event in first):
        assert second == []  # It is so already: there is nothing to tell again.
    else:
        assert isinstance(second, Repeated), second
        assert list(map(kept, second.events)) == list(map(kept, first))
    assert all(event.payments for event in first if isinstance(event, FundingSettled))
    assert exchange.hash() == before
    assert conserved(exchange.engine.state)
    assert positions_zero_sum(exchange.engine.state)


@steps("killed before")
async def test_the_engine_is_killed_before_it_hears_of_it(exchange: Exchanges, step: str) -> None:
    at = await exchange(step)
    at.kill()
    first = await at.done(COMMANDS[step])
    before = at.hash()
    once(at, first, await at.done(COMMANDS[step]), before)


@steps("killed after")
async def test_the_engine_is_killed_before_anybody_hears_its_answer(exchange: Exchanges, step: str) -> None:
    at = await exchange(step)
    first = await at.done(COMMANDS[step])
    at.kill()
    before = at.hash()
    once(at, first, await at.done(COMMANDS[step]), before)


@steps("reply lost", "duplicate")
async def test_it_is_told_twice(exchange: Exchanges, step: str) -> None:
    at = await exchange(step)
    first = await at.done(COMMANDS[step])
    before = at.hash()
    once(at, first, await at.done(COMMANDS[step]), before)


@steps("delayed")
async def test_it_is_told_again_an_hour_later(exchange: Exchanges, step: str) -> None:
    at = await exchange(step)
    first = await at.done(COMMANDS[step])
    await at.wait(HOUR)
    before = at.hash()
    once(at, first, await at.done(COMMANDS[step]), before)
