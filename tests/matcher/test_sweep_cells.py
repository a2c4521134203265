"""Steps of the sweep through every fault: an account is liquidated once, and of what the fund took nothing is sold twice.

Neither step is remembered under a key: a repeat finds what is left to do. So each history with a fault must come to the same end,
for everybody, as the one without.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import base58
import pytest

from core.accounts import INSURANCE
from core.liquidation_events import LiquidationStarted
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import Engine
from matcher.rejections import Outcome, Rejection
from matcher.state import conserved, positions_zero_sum
from matcher.tail import Tail

START = 1_700_000_000 * SECOND
HOUR = 3_600 * SECOND
LOTS, INDEX, CRASH = 100_000, 600_000, 590_000
MAKER, TRADER = 16, 17
Standings = dict[int, tuple[int, dict[int, tuple[int, int]]]]


class Exchange:
    """An engine whose watch has overlooked an account far below maintenance; it can be killed and started again on its journal."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.now = directory, START
        self.engine = Engine(directory, lambda: self.now)

    async def begin(self) -> None:
        for market in DEFAULT_MARKETS:
            await self.done(c.ListMarket(market))
        for account, amount in ((MAKER, 10**13), (TRADER, 13_000_000_000)):
            owner = base58.b58encode(account.to_bytes(32, "big")).decode()
            await self.done(c.RegisterAgent(owner, "a"))
            await self.done(c.BindSlot(account, 0, account - 14))
            await self.done(c.CreditDeposit(account, amount, f"of {account}"))
        await self.done(c.CreditDeposit(INSURANCE, 10**11, "of the fund"))
        await self.prices(INDEX)
        await self.done(c.SetQuotes(MAKER, 1, (), ((INDEX, LOTS),), self.now + 60 * SECOND))
        await self.done(c.OpenRequest(TRADER, "k", 1, 1, LOTS, INDEX, SECOND))
        self.engine.state.watch.below.clear()
        self.engine.state.watch.above.clear()

    async def prices(self, index: int) -> None:
        await self.done(c.UpdateIndex(1, index, 0, self.now, "test"))

    async def done(self, command: c.Command) -> Outcome:
        outcome = await self.engine.ask(command)
        assert not isinstance(outcome, Rejection), outcome
        return outcome

    def kill(self) -> None:
        self.end()
        self.engine = Engine(self.directory, lambda: self.now)

    def end(self) -> None:
        """Without the farewell of `close`, and without a timer that would outlive the process."""
        if self.engine._timer is not None:
            self.engine._timer.cancel()
        self.engine._journal.close()
        self.engine._snapshots.close()
        os.close(self.engine._lock)

    async def settle(self, nanos: int = SECOND) -> None:
        """Let time pass under a fresh price and a maker's bid, and whatever falls due in it happen."""
        self.now += nanos
        await self.prices(CRASH)
        await self.done(c.SetQuotes(MAKER, 1, ((CRASH - 10, LOTS),), (), self.now + 60 * SECOND))
        for _ in range(4):
            while await self.done(c.Advance()):
                pass
            self.now += SECOND // 4

    async def ended(self) -> Standings:
        """What everybody has once the trader is liquidated and the fund holds nothing any more."""
        await self.settle()
        state = self.engine.state
        while state.accounts[INSURANCE].positions:
            await self.done(c.SellInventory(1))
            await self.settle()
        assert conserved(state)
        assert positions_zero_sum(state)
        with closing(Tail(self.directory, 0)) as tail:
            begun = [event for _, event in tail.read() if isinstance(event, LiquidationStarted)]
        assert [one.account for one in begun] == [TRADER]
        assert state.accounts[TRADER].positions == {}
        return {
            one.id: (one.balance, {id: (held.size, held.cost) for id, held in one.positions.items()})
            for one in state.accounts.values()
        }


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Callable[[str], Exchange]]:
    started: list[Exchange] = []

    def begun(name: str) -> Exchange:
        started.append(Exchange(tmp_path / name))
        return started[-1]

    yield begun
    for one in started:
        one.end()


async def reviewed(at: Exchange) -> None:
    await at.done(c.ReviewAccount(TRADER))


async def sold(at: Exchange) -> None:
    await at.done(c.SellInventory(1))


async def before_review(at: Exchange) -> None:
    await at.begin()
    at.now += SECOND
    await at.prices(CRASH)
    await at.done(c.SetQuotes(MAKER, 1, ((CRASH - 10, LOTS),), (), at.now + 60 * SECOND))


async def before_sale(at: Exchange) -> None:
    await before_review(at)
    await reviewed(at)
    await at.settle()
    assert at.engine.state.accounts[INSURANCE].positions


STEPS = {"review_accounts": (before_review, reviewed), "sell_inventory": (before_sale, sold)}


def steps(*faults: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "step",
        [pytest.param(step, marks=[pytest.mark.cell(step, fault) for fault in faults]) for step in STEPS],
    )


async def untroubled(exchange: Callable[[str], Exchange], step: str) -> Standings:
    at = exchange("untroubled")
    before, do = STEPS[step]
    await before(at)
    await do(at)
    return await at.ended()


@steps("killed before")
async def test_the_engine_is_killed_before_it_hears_of_it(exchange, step):
    at, (before, do) = exchange("killed"), STEPS[step]
    await before(at)
    at.kill()
    await do(at)
    assert await at.ended() == await untroubled(exchange, step)


@steps("killed after")
async def test_the_engine_is_killed_before_anybody_hears_its_answer(exchange, step):
    at, (before, do) = exchange("killed"), STEPS[step]
    await before(at)
    await do(at)
    at.kill()
    await at.prices(CRASH)
    await do(at)
    assert await at.ended() == await untroubled(exchange, step)


@steps("reply lost", "duplicate")
async def test_it_is_told_twice(exchange, step):
    at, (before, do) = exchange("twice"), STEPS[step]
    await before(at)
    await do(at)
    await do(at)
    assert await at.ended() == await untroubled(exchange, step)


@steps("delayed")
async def test_it_is_told_again_an_hour_later(exchange, step):
    at, (before, do) = exchange("late"), STEPS[step]
    await before(at)
    await do(at)
    await at.settle()
    await at.settle(HOUR // 2)
    await at.settle(HOUR // 2)
    await do(at)
    assert await at.ended() == await untroubled(exchange, step)
