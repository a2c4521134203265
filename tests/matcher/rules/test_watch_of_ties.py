"""The watch where margin follows from more than an account's own marks: requests that the chain may pay, and a market's last hour."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.batches import BatchStatus
from core.events import IndexUpdated, MarkUpdated
from core.exit_events import ExitMatured
from core.funding import HOUR
from core.funding_events import PremiumSampled
from core.operator_events import DelistingAnnounced
from core.quantities import SECOND
from core.rates import PERCENT
from core.settlement_price import MINUTE, WINDOW
from core.validity import Validity
from matcher import commands as c
from matcher.exiting import family, free

OWNERS = 3
STEPS = 40


class Families:
    """Owners that each have an account in both markets and a sub-account in each, with as much open as chance has it."""

    def __init__(self, world, rng, owners=OWNERS, most=100):
        self.world, self.rng = world, rng
        self.maker = world.agent(1, 10**15)
        self.roots = [world.agent(2 + number, rng.randrange(10**9, 10**10)) for number in range(owners)]
        for root in self.roots:
            subs = [world.play(c.OpenSubAccount(root, market))[0].account for market in (1, 2)]
            for sub in subs:
                world.play(c.Transfer(root, root, sub, world.balance(root) // 4, f"to {sub}"))
            for account, market in ((root, 1), (root, 2), (subs[0], 1), (subs[1], 2)):
                self.trade(account, market, rng.choice((1, -1)), rng.randrange(1, most))

    def trade(self, account, market, side, share):
        """For so many hundredths of what the account's margin allows."""
        world, state = self.world, self.world.state
        mark, free = state.marks[market], state.margin_of(state.accounts[account]).available
        lots = max(1, free * 10**4 * share // (mark.value_per_lot * mark.initial))
        index = state.indexes[market].price
        levels = ((index, lots),)
        world.do(
            c.SetQuotes(self.maker, market, *(((), levels) if side > 0 else (levels, ())), world.now + 1)
        )
        world.request(account, f"t{state.seq}", side, lots, index, market=market)
        world.play(c.CancelAll(self.maker))

    def free(self, root):
        """What the owner's accounts do not need together."""
        return sum(free(self.world.state, one) for one in family(self.world.state.accounts[root]))

    def mature(self, root, amount):
        """The chain may pay so much of the owner's from now on."""
        world = self.world
        world.play(c.RequestExit(root, amount, world.now // SECOND + 3_600))
        world.record(ExitMatured(world.now, root))

    def move(self, market, index, mark):
        """An index and a mark, whatever the book would make of them."""
        world = self.world
        world.now += SECOND
        priced = IndexUpdated(world.now, market, index, 0, world.now, "test", Validity.VALID)
        world.record(priced, MarkUpdated(world.now, market, mark, index, 0, 0))

    def step(self, apart):
        """Somebody trades, or a market moves, its mark as far from the index as up to `apart` of it in 10,000."""
        if self.rng.random() < 0.2:
            account = self.world.state.accounts[self.rng.choice(self.roots)]
            self.trade(account.id, self.rng.choice((1, 2)), self.rng.choice((1, -1)), 20)
        market = self.rng.choice((1, 2))
        index = self.world.state.indexes[market].price
        index += index * self.rng.choice((-90, -20, -5, -1, 0, 1, 5, 20, 90)) // 10_000
        self.move(market, index, index + index * self.rng.randrange(-apart, apart + 1) // 10_000)

    def happen(self, number):
        """Something that changes margin although no mark moves: an hour ends or is paid, an owner's limit is seen, a batch is cut or
        lands short, a request is claimed or a new one matures."""
        rng, state, root = self.rng, self.world.state, self.rng.choice(self.roots)
        free = self.free(root)
        match rng.randrange(6):
            case 0:
                self.end_hour()
            case 1:
                for market, funding in state.funding.items():
                    if funding.unpaid:
                        self.world.play(c.SettleFunding(market, funding.unpaid[0].number))
            case 2:
                left = rng.choice((0, free // 2, 2 * free, 10**13))
                self.see_limit(root, left)
            case 3:
                self.settle()
            case 4:
                if root in state.exits and (paid := min(state.payable(state.accounts[root]), 2 * free)):
                    self.world.play(c.ClaimExit(root, paid, f"claim:{number}"))
            case _:
                if root not in state.exits:
                    self.mature(root, max(1, rng.choice((free // 2, free, 2 * free))))

    def end_hour(self):
        """An hour of each market in which longs, or shorts, came to owe some tenths of a per cent."""
        world, state = self.world, self.world.state
        hour = world.now // HOUR + 1
        for market in state.markets:
            index = state.indexes[market].price
            premium = self.rng.choice((-1, 1)) * self.rng.randrange(6 * PERCENT)
            sample = PremiumSampled(world.now, market, hour, premium, index, 0, 0, 1, (), ((self.maker, 1),))
            world.record(sample)
        world.now = hour * HOUR
        world.end_hours()
        self.check()
        for market, index in state.indexes.items():
            self.move(market, index.price, state.mark_price(market))

    def see_limit(self, root, left):
        cut = self.world.state.cut
        slot = c.LimitedSlot(root, 10**13, left, self.world.state.accounts[root].unapplied)
        self.world.play(c.SeeLossLimits(cut.batch if cut is not None else 0, True, (slot,)))

    def settle(self):
        """Cut a batch, of whose first debit the chain takes only a part; or let the last one land."""
        world, state, cut = self.world, self.world.state, self.world.state.cut
        if cut is not None and state.batches.get(cut.batch, BatchStatus.FINAL) != BatchStatus.FINAL:
            short = next((id for id in self.roots if cut.deltas.get(id, 0) < 0), None)
            if short is not None and cut.deltas.get(self.maker, 0) > 0:
                most = min(-cut.deltas[short], cut.deltas[self.maker])
                undone = ((short, -self.rng.randrange(most + 1)),)
                undone += ((self.maker, -undone[0][1]),)
                accounts = [(state.accounts[id], change) for id, change in undone]
                told = tuple((one.slot, one.unapplied + change) for one, change in accounts)
                world.play(c.TakeUnapplied(cut.batch, accounts[0][0].page, told))
            world.finalize(cut.batch)
        else:
            world.play(c.CutSettlement(cut.batch + 1 if cut is not None else 1))

    def check(self):
        """The same are due as by looking at all. Nobody is liquidated here."""
        state = self.world.state
        state.watch.look(state)
        while state.watch.behind:
            state.watch.look(state)
        found = {id for id in state.owned if state.margin_of(state.accounts[id]).liquidatable}
        assert state.watch.due == found
        return found


@pytest.fixture
def families(new_world):
    def make(rng, *more):
        return Families(new_world(), rng, *more)

    return make


def begin_last_hour(world):
    announced = world.play(c.DelistMarket(2, who="ada", why="nobody quotes it"))
    at = next(one for one in announced if isinstance(one, DelistingAnnounced)).settles_at
    world.now = at - WINDOW + MINUTE
    for market in (1, 2):
        world.index(market, world.state.indexes[market].price)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_the_same_are_found_whatever_else_changes_margin(families, seed):
    """Hours of funding, limits, batches, claims: what ties accounts to each other changes with all of them."""
    rng = Random(seed)
    history = families(rng)
    for number in range(STEPS):
        if rng.random() < 0.4:
            history.happen(number)
            history.check()
        history.step(apart=0)
        history.check()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), ends=st.booleans())
def test_the_same_are_found_as_by_looking_at_all(families, seed, ends):
    rng = Random(seed)
    history = families(rng)
    for root in history.roots:
        if rng.random() < (0.2 if ends else 0.8):
            free = history.free(root)
            history.mature(root, max(1, rng.choice((1, free // 2, free, 2 * free))))
    if ends:
        begin_last_hour(history.world)
    for _ in range(STEPS):
        history.step(apart=50 if ends else 0)
        history.check()


def test_many_of_them_are_liquidated_by_what_others_lose_or_the_average(families):
    found = 0
    for seed in range(6):
        history = families(Random(seed))
        for root in history.roots:
            history.mature(root, history.free(root))
        for _ in range(STEPS):
            history.step(apart=0)
            found += any(
                not history.world.state.worth_of(history.world.state.accounts[id]).liquidatable
                for id in history.check()
            )
    assert found > 5


def test_requests_that_matured_cost_a_mark_nothing_while_nobody_is_near_its_edge(families):
    history = families(Random(1), 20, 10)
    for root in history.roots:
        history.mature(root, 1)
    history.move(1, 600_000, 600_000)
    history.check()
    watch = history.world.state.watch
    assert len(watch.tied) == 60
    before = watch.stamp
    for number in range(10):
        history.move(1, 600_000 + number, 600_000 + number)
        history.check()
    assert watch.stamp == before
