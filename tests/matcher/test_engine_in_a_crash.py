"""The engine while many accounts are in trouble: others get their turn, a newer price first, and nobody deals ahead of what is due."""

import asyncio
from itertools import pairwise

import base58
import pytest

from core.accounts import INSURANCE
from core.liquidation_events import LiquidationStarted
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import GROUP, GROUP_TIME, Engine
from matcher.rejections import Rejection

START = 1_700_000_000 * SECOND
AGENTS = 60
LOTS = 1_000


async def registered(engine, number, deposit):
    owner = base58.b58encode(number.to_bytes(32, "big")).decode()
    (agent,) = await engine.ask(c.RegisterAgent(owner, "a"))
    await engine.ask(c.BindSlot(agent.account, 0, agent.account))
    await engine.ask(c.CreditDeposit(agent.account, deposit, f"d{agent.account}"))
    return agent.account


class Clock:
    """It goes `step` nanoseconds further each time that somebody looks at it."""

    now, step = START, 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now


@pytest.fixture
async def crowd(tmp_path):
    """An engine in which many accounts are long with little more than they need, and a fund that can take them all."""
    engine = Engine(tmp_path, Clock())
    await engine.ask(c.ListMarket(DEFAULT_MARKETS[0]))
    price(engine, 600_000)
    maker = await registered(engine, 1, 10**13)
    await engine.ask(c.CreditDeposit(INSURANCE, 10**13, "fund"))
    agents = [await registered(engine, number, 130_000_000) for number in range(2, 2 + AGENTS)]
    for agent in agents:
        await engine.ask(c.SetQuotes(maker, 1, (), ((600_000, LOTS),), START + 60 * SECOND))
        await engine.ask(c.OpenRequest(agent, "in", 1, 1, LOTS, 600_000, SECOND))
    assert all(engine.state.accounts[agent].positions for agent in agents)
    yield engine, maker, agents
    engine.close()


def price(engine, ticks):
    engine.submit(c.UpdateIndex(1, ticks, 0, START, "test"), None)


async def test_between_groups_of_what_is_due_others_get_a_turn(crowd):
    engine, *_ = crowd
    price(engine, 588_000)
    seen = [engine.state.seq]
    while engine.state.next_deadline() <= START:
        await asyncio.sleep(0)
        seen.append(engine.state.seq)
    done = [after - before for before, after in pairwise(seen)]
    assert sum(done) >= 3 * AGENTS
    assert max(done) <= GROUP
    assert not any(engine.state.accounts[agent].positions for agent in crowd[2])


async def test_a_newer_price_saves_those_whose_turn_has_not_come(crowd):
    engine, _, agents = crowd
    price(engine, 588_000)
    while not engine.state.liquidations and engine.state.last_liquidation == 0:
        await asyncio.sleep(0)
    price(engine, 600_000)
    while engine.state.next_deadline() <= START:
        await asyncio.sleep(0)
    kept = [agent for agent in agents if engine.state.accounts[agent].positions]
    assert 0 < len(agents) - len(kept) <= GROUP
    assert engine.state.last_liquidation <= GROUP


async def test_who_is_due_does_not_trade_ahead_of_it(crowd):
    engine, maker, agents = crowd
    heard = []
    engine.listen(lambda seq, event: heard.append(event))
    await engine.ask(c.SetQuotes(maker, 1, ((592_500, 10**5),), (), START + 60 * SECOND))
    price(engine, 593_000)
    outcomes = []
    engine.submit(c.OpenRequest(agents[0], "out", 1, -1, LOTS, 591_000, SECOND), outcomes.append)
    assert [type(outcome) for outcome in outcomes] == [Rejection]
    while engine.waiting:
        await asyncio.sleep(0.001)
    assert agents[0] in {event.account for event in heard if isinstance(event, LiquidationStarted)}


async def test_a_group_of_steps_that_take_long_ends_early(crowd):
    engine, maker, _ = crowd
    price(engine, 588_000)
    engine.clock.step = GROUP_TIME // 2
    before = engine.state.seq
    quotes = c.SetQuotes(maker, 1, ((587_000, LOTS),), (), START + 60 * SECOND)
    engine.submit(quotes, None)
    assert engine.state.seq - before == 2
    engine.clock.step = 0
    engine.submit(quotes, None)
    assert engine.state.seq - before == 2 + GROUP
