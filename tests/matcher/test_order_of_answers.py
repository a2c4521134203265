"""Whoever is told of something has been told of all that was before it about the same account, and nobody else waits for that."""

import asyncio
import random
from collections import Counter, defaultdict

import base58
import pytest

from core.concerns import concerns
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from matcher import commands as c
from matcher.engine import Engine
from matcher.rejections import Rejection

START = 1_700_000_000 * SECOND


class Exchange:
    """An engine with two makers and two traders, and what is heard of it in order: events by name, answers by what was asked."""

    def __init__(self, directory):
        self.now = START
        self.engine = Engine(directory, lambda: self.now, segment_bytes=1 << 20)
        self.heard = []

    async def populate(self):
        for market in DEFAULT_MARKETS:
            await self.engine.ask(c.ListMarket(market))
            await self.engine.ask(c.UpdateIndex(market.id, 600_000, 0, self.now, "test"))
        self.accounts = []
        for number in range(1, 5):
            owner = base58.b58encode(number.to_bytes(32, "big")).decode()
            (registered,) = await self.engine.ask(c.RegisterAgent(owner, "a"))
            await self.engine.ask(c.BindSlot(registered.account, 0, registered.account))
            await self.engine.ask(c.CreditDeposit(registered.account, 10**13, f"deposit-{number}"))
            self.accounts.append(registered.account)
        self.engine.listen(lambda _, event: self.heard.append(type(event).__name__))

    def submit(self, name, command):
        self.engine.submit(command, lambda _: self.heard.append(name))

    def quotes(self, account):
        return c.SetQuotes(account, 1, ((599_900, 500),), ((600_100, 500),), self.now + SECOND)

    def request(self, account, key, side=1):
        return c.OpenRequest(account, key, 1, side, 10, 600_000 + side * 1_000, SECOND)

    async def told(self):
        while self.engine.waiting:
            await asyncio.sleep(0.001)
        return self.heard


@pytest.fixture
async def exchange(tmp_path):
    exchange = Exchange(tmp_path / "j")
    await exchange.populate()
    yield exchange
    exchange.engine.close()


async def test_a_maker_hears_of_its_fill_before_its_cancel_is_acknowledged(exchange):
    maker, _, trader, _ = exchange.accounts
    await exchange.engine.ask(exchange.quotes(maker))
    exchange.heard.clear()
    exchange.submit("fill", exchange.request(trader, "k"))
    exchange.submit("cancel", c.CancelAll(maker))
    assert exchange.heard == []
    assert await exchange.told() == [
        "Filled",
        "StandingReduced",
        "RequestClosed",
        "fill",
        "QuotesPulled",
        "cancel",
    ]


async def test_a_cancel_of_nothing_left_waits_for_what_left_nothing(exchange):
    maker, _, trader, _ = exchange.accounts
    await exchange.engine.ask(c.SetQuotes(maker, 1, (), ((600_100, 10),), exchange.now + SECOND))
    exchange.submit("fill", exchange.request(trader, "k"))
    exchange.submit("cancel", c.CancelAll(maker))
    heard = await exchange.told()
    assert heard.index("Filled") < heard.index("cancel")


async def test_who_has_nothing_to_be_told_of_waits_for_nobody(exchange):
    maker, other, trader, asking = exchange.accounts
    await exchange.engine.ask(exchange.quotes(maker))
    exchange.heard.clear()
    exchange.submit("fill", exchange.request(trader, "k"))
    exchange.submit("quotes", c.SetQuotes(other, 2, (), ((600_100, 1),), exchange.now + SECOND))
    exchange.submit("subscribed", c.Subscribe(asking, (1,)))
    assert exchange.heard == ["QuotesSet", "quotes", "Subscribed", "subscribed"]
    await exchange.told()


async def test_a_switch_that_fires_is_heard_of_after_what_was_set_before(exchange):
    """The quotes are set, and pulled because nobody was heard of, while the maker's fill still waits for the disk."""
    maker, _, trader, _ = exchange.accounts
    await exchange.engine.ask(exchange.quotes(maker))
    await exchange.engine.ask(c.CancelAfter(maker, exchange.now + SECOND // 2))
    exchange.heard.clear()
    exchange.submit("fill", exchange.request(trader, "k"))
    exchange.submit("set", exchange.quotes(maker))
    exchange.now += SECOND // 2
    while 0 < exchange.engine.state.next_deadline() <= exchange.now:
        exchange.engine.submit(c.Advance(), None)
    heard = await exchange.told()
    assert heard.index("Filled") < heard.index("set") < heard.index("QuotesPulled")


@pytest.mark.parametrize("seed", range(3))
async def test_answers_come_in_order_and_after_all_that_was_before_them(exchange, seed):
    rng, engine = random.Random(seed), exchange.engine
    told, answered, asked, waited = Counter(), defaultdict(list), Counter(), 0
    before = {account: engine.state.accounts[account].number for account in exchange.accounts}
    engine.listen(lambda seq, event: told.update(concerns(event) if seq else ()))

    def ask(account, command):
        nonlocal waited
        number, owed = asked[account], []
        asked[account] += 1

        def reply(outcome):
            if not isinstance(outcome, Rejection):
                answered[account].append(number)
                assert not owed or before[account] + told[account] >= owed[0]

        engine.submit(command, reply)
        owed.append(engine.state.accounts[account].number)
        waited += answered[account][-1:] != [number]

    for step in range(400):
        one, other = rng.sample(exchange.accounts, 2)
        ask(one, rng.choice((exchange.quotes(one), c.CancelAll(one), c.Subscribe(one, (1, 2)))))
        ask(other, exchange.request(other, f"k{step}", rng.choice((1, -1))))
        if rng.random() < 0.2:
            await asyncio.sleep(rng.choice((0, 0.001)))
    await exchange.told()
    assert all(numbers == sorted(numbers) for numbers in answered.values())
    assert 100 < waited < 800
    assert told == {id: engine.state.accounts[id].number - before[id] for id in exchange.accounts}
