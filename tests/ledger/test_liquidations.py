"""Liquidations that the rules really made, projected: the ledger has what the exchange has, and each step with its amounts."""

import re
from typing import get_args

import base58
import pytest
from msgspec.structs import replace
from sqlalchemy import CheckConstraint

from api import views_liquidation
from api.schemas_liquidation import OutcomeName, StepName
from core import events as e
from core import liquidation_events as le
from core.accounts import CLEARING, INSURANCE
from core.liquidation import LiquidationTerms
from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from ledger.database import open_pool
from ledger.projector import Projector
from ledger.queries import Queries
from ledger.tables import balances, positions
from ledger.tables_liquidation import liquidation_steps, liquidations
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange

INDEX, CRASH = 600_000, 590_000
LOTS = 30_000
EQUITIES = (3_900_000_000, 3_950_000_000, 4_000_000_000, 4_600_000_000, 4_700_000_000)
"""At the crash the first are far below two thirds of maintenance, the last a little below it."""


class Crash:
    """Longs at high leverage, one maker opposite, a fund that can hold some of them; everything to the end."""

    def __init__(self):
        self.state, self.now, self.records = Exchange(), SECOND, []
        self.play(c.StartEpoch())
        terms = LiquidationTerms(whole_up_to=100_000_000)
        self.play(c.ListMarket(replace(DEFAULT_MARKETS[0], liquidation=terms)))
        maker, *agents = [self.agent(n, amount) for n, amount in enumerate((10**13, *EQUITIES), 1)]
        self.play(c.CreditDeposit(INSURANCE, 2 * 10**10, "fund"))
        self.play(c.SetInsuranceFloor(10**9))
        self.play(c.UpdateIndex(1, INDEX, 0, self.now, "t"))
        for agent in agents:
            self.quotes(maker, (), ((INDEX, LOTS),))
            self.play(c.OpenRequest(agent, "k", 1, 1, LOTS, INDEX, SECOND))
        self.play(c.CancelAll(maker))
        self.maker = maker

    def to_the_end(self):
        while not self.state.last_liquidation or self.state.liquidations:
            self.now += SECOND
            self.play(c.UpdateIndex(1, CRASH, 0, self.now, "t"))
            self.quotes(self.maker, ((CRASH - 20, 5_000),), ())
            while 0 < self.state.next_deadline() <= self.now:
                self.play(c.Advance())

    def delisted(self):
        """Its only market ends while accounts are being liquidated."""
        self.now += SECOND
        self.play(c.UpdateIndex(1, CRASH, 0, self.now, "t"))
        while not self.state.liquidations:
            self.now += SECOND
            self.play(c.Advance())
        self.play(c.DelistMarket(1, True, who="ops", why="it ends"))
        while self.state.liquidations:
            self.now += SECOND
            self.play(c.Advance())

    def agent(self, number, amount):
        owner = base58.b58encode(number.to_bytes(32, "big")).decode()
        (registered,) = self.play(c.RegisterAgent(owner, "a"))
        self.play(c.BindSlot(registered.account, 0, number + 1))
        self.play(c.CreditDeposit(registered.account, amount, f"d{number}"))
        return registered.account

    def quotes(self, maker, bids, asks):
        self.play(c.SetQuotes(maker, 1, bids, asks, self.now + SECOND))

    def play(self, command):
        events = decide(self.state, command, self.now)
        assert isinstance(events, list), events
        for event in events:
            apply(self.state, event)
            if isinstance(event, e.DURABLE):
                self.records.append((self.state.seq, event))
        return events

    def of(self, *kinds):
        return [(seq, event) for seq, event in self.records if isinstance(event, kinds)]


@pytest.fixture(scope="module")
def crash():
    made = Crash()
    made.to_the_end()
    for kind in (le.LiquidationSliced, le.TakenOver, le.Deleveraged, le.LiquidationEnded):
        assert made.of(kind), kind
    return made


@pytest.fixture
async def pool(postgres_url, crash):
    projector = Projector(postgres_url)
    projector.apply(crash.records[:-9])
    projector.apply(crash.records[-9:])
    projector.close()
    pool = open_pool(postgres_url)
    yield pool
    await pool.dispose()


async def test_the_ledger_holds_the_same_as_the_exchange(pool, crash):
    accounts = crash.state.accounts
    async with pool.connect() as connection:
        amounts = dict((await connection.execute(balances.select())).all())
        held = (await connection.execute(positions.select())).all()
    assert {id: amounts.get(id, 0) for id in accounts} == {id: one.balance for id, one in accounts.items()}
    assert {(account, market): (size, cost) for account, market, size, cost in held if size} == {
        (id, market): (position.size, position.cost)
        for id, one in accounts.items()
        for market, position in one.positions.items()
    }
    assert amounts[CLEARING] == -sum(cost for *_, cost in held)


async def test_liquidations_come_newest_first_with_their_outcome(pool, crash):
    queries, found, before = Queries(pool), [], 0
    while page := await queries.liquidations(before, 2):
        found += page
        before = page[-1].liquidation
    ended = {event.liquidation: event for _, event in crash.of(le.LiquidationEnded)}
    assert found == [
        (s.liquidation, seq, s.at, s.account, s.equity, s.maintenance, ended[s.liquidation].why, ended[s.liquidation].at)
        for seq, s in reversed(crash.of(le.LiquidationStarted))
    ]  # fmt: skip
    assert await queries.liquidation(found[0].liquidation + 1) is None


async def test_a_liquidation_that_a_delisting_ends_is_projected_and_told(postgres_url):
    """The ledger refused the row, and with it every record after it; the API had no name for it."""
    ending = Crash()
    ending.delisted()
    ended = [event.why for _, event in ending.of(le.LiquidationEnded)]
    assert "delisted" in ended
    projector = Projector(postgres_url)
    projector.apply(ending.records)
    projector.close()
    pool = open_pool(postgres_url)
    found = await Queries(pool).liquidations(0, 100)
    await pool.dispose()
    assert [one.outcome for one in reversed(found)] == ended
    assert {view.outcome for view in map(views_liquidation.liquidation, found)} == set(ended)


def test_every_outcome_and_every_kind_of_step_has_its_name():
    for name, names in (("outcome", OutcomeName), ("kind", StepName)):
        (check,) = [
            str(one.sqltext)
            for table in (liquidations, liquidation_steps)
            for one in table.constraints
            if isinstance(one, CheckConstraint) and str(one.name).endswith(f"_{name}")
        ]
        assert set(re.findall(r"'(\w+)'", check)) == set(get_args(names))


async def test_every_step_has_its_amounts(pool, crash):
    queries, steps = Queries(pool), []
    for number in range(1, crash.state.last_liquidation + 1):
        view, own = await queries.liquidation(number)
        assert {one.liquidation for one in own} == {number} == {view.liquidation}
        steps += own
    records = dict(crash.of(le.LiquidationSliced, le.TakenOver, le.Deleveraged))
    assert {step.seq for step in steps} == set(records)
    for step in steps:
        event = records[step.seq]
        assert (step.at, step.equity, step.maintenance) == (event.at, event.equity, event.maintenance)
        match event:
            case le.LiquidationSliced():
                assert (step.kind, step.asked, step.size, step.value) == (
                    *("auction", event.asked, event.size, event.value),
                )
                assert (step.price_limit, step.bound, step.fee, step.accounts) == (
                    *(event.limit, event.bound, event.fee, len(event.fills)),
                )
            case le.TakenOver(parts=(part,)):
                assert (step.kind, step.size, step.value) == ("takeover", part.size, part.value)
            case le.Deleveraged():
                assert (step.kind, step.size, step.unpaid) == ("deleveraging", event.size, event.left)
                assert (step.bound, step.accounts) == (event.value, len(event.parts))
    newest = [step for step in sorted(steps, reverse=True) if step.kind == "deleveraging"]
    assert await queries.deleveragings(0, 100) == newest
    assert await queries.deleveragings(newest[0].seq, 100) == newest[1:]


async def test_the_fund_s_history_ends_at_its_balance_and_floor(pool, crash):
    changes = (await Queries(pool).insurance_history(0, 1_000))[::-1]
    fund, balance = crash.state.accounts[INSURANCE], 0
    for change in changes:
        balance += change.amount
        assert change.balance == balance
    assert (balance, changes[-1].floor) == (fund.balance, crash.state.insurance_floor)
    assert {change.why for change in changes} == {"deposit", "floor", "fee", "takeover"}
    assert [change.amount for change in changes if change.why == "fee"] == [
        event.fee for _, event in crash.of(le.LiquidationSliced) if event.fee
    ]
    newest = changes[-1]
    assert await Queries(pool).insurance_history(newest.seq, 1) == changes[-2:-1]
