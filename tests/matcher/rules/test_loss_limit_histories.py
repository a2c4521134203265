"""Random histories of owners with loss limits against a chain that takes what it may: a page that comes finds all it has to apply."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.accounts import INSURANCE, TREASURY
from core.liquidation_events import Deleveraged, TakenOver
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import dump, load, state_hash

USDC = 1_000_000
AGENTS = 6
STEPS = 250


class History:
    """Agents and sub-accounts at high leverage, limits that change, batches that land late, and marks that move by `swing`."""

    def __init__(self, world, new_slot, rng, swing):
        self.world, self.new_slot, self.rng, self.swing = world, new_slot, rng, swing
        self.slots = {}
        self.short = 0
        self.bounded = 0
        self.maker = self.funded(1, 10**8 * USDC)
        self.agents = [self.funded(2 + n, rng.randrange(500, 20_000) * USDC) for n in range(AGENTS)]
        self.subs = {}
        for agent in self.agents[: AGENTS // 2]:
            self.subs[agent] = [world.play(c.OpenSubAccount(agent, market))[0].account for market in (1, 2)]
            for sub in self.subs[agent]:
                amount = world.balance(agent) * rng.randrange(0, 60) // 100 + 1
                world.play(c.Transfer(agent, agent, sub, amount, f"first-{sub}"))
        self.slots |= {INSURANCE: self.new_slot(), TREASURY: self.new_slot()}
        self.deposit(INSURANCE, 10**7 * USDC, "fund")

    def funded(self, owner, amount):
        account = self.world.agent(owner, 0)
        self.slots[account] = self.new_slot()
        self.deposit(account, amount, f"first-{account}")
        return account

    def deposit(self, account, amount, key):
        self.world.play(c.CreditDeposit(account, amount, key))
        self.slots[account].balance += amount

    def step(self, number):
        world, rng = self.world, self.rng
        agent, market = rng.choice(self.agents), rng.choice((1, 2))
        one = rng.choice((agent, *self.subs.get(agent, ())))
        match rng.choices(range(7), [20, 40, 10, 10, 10, 5, 15])[0]:
            case 0:
                index = world.state.indexes[market].price
                world.now += SECOND // 10
                world.index(
                    market, max(1, index + index * rng.randrange(-self.swing, self.swing + 1) // 10_000)
                )
                # The other one stands still, and is no older for it.
                world.index(3 - market, world.state.indexes[3 - market].price)
            case 1:
                self.trade(one, market, number)
            case 2:
                self.slots[agent].bound(rng.randrange(0, 5_000) * USDC)
                self.look()
            case 3:
                self.deposit(agent, rng.randrange(1, 1_000) * USDC, f"d{number}")
            case 4:
                self.take_out(agent, number)
            case 5:
                self.turn()
            case _:
                self.settle()
        world.pass_time(0)
        self.check()

    def trade(self, account, market, number):
        """About as much as the account may, or half of that; sometimes what it holds back."""
        world, rng = self.world, self.rng
        held = world.state.accounts[account]
        if held.market not in (0, market):
            return
        mark, index = world.state.marks[market], world.state.indexes[market].price
        free = max(0, world.state.worth_of(held).available)
        position = held.positions.get(market)
        if position is not None and rng.random() < 0.3:
            side, lots = (-1 if position.size > 0 else 1), abs(position.size)
        else:
            side, lots = (
                rng.choice((1, -1)),
                free * 10**6 // (mark.value_per_lot * mark.initial) >> rng.randrange(4),
            )
        if lots:
            world.do(
                c.SetQuotes(
                    self.maker, market, ((index - 1, lots),), ((index + 1, lots),), world.now + SECOND
                )
            )
            before = world.state.last_fill
            outcome = world.request(account, f"t{number}", side, lots, index + side, market=market)
            if getattr(outcome, "code", None) == "loss_limit_reached":
                self.bounded += 1
            if world.state.last_fill > before and side * lots * (position.size if position else 1) > 0:
                assert not world.state.margin_of(held).liquidatable
            world.play(c.CancelAll(self.maker))

    def take_out(self, agent, number):
        world, rng = self.world, self.rng
        subs = self.subs.get(agent)
        if subs and rng.random() < 0.5:
            giver, receiver = rng.sample((agent, rng.choice(subs)), 2)
            world.do(c.Transfer(agent, giver, receiver, rng.randrange(1, 2_000) * USDC, f"x{number}"))
            return
        amount = rng.randrange(1, 2_000) * USDC
        outcome = world.do(c.ReserveWithdrawal(agent, amount, f"w{number}"))
        # The chain holds what is on its way: what a page has still to give cannot be taken out.
        if isinstance(outcome, list):
            world.play(c.FinishWithdrawal(outcome[0].withdrawal, True, "signature"))
            self.slots[agent].balance -= amount

    def settle(self):
        """Cut a batch and let it land, the engine looking before and after."""
        world = self.world
        batch = (world.state.cut.batch if world.state.cut is not None else 0) + 1
        world.play(c.CutSettlement(batch))
        world.pass_time(0)
        self.check()
        self.look(landed=False)
        deltas = world.state.cut.deltas
        short = sum(self.slots[account].settle(delta) for account, delta in deltas.items() if delta < 0)
        self.short += short
        for account, delta in deltas.items():
            if delta > 0:
                held_back = min(delta, short)
                short -= held_back
                self.slots[account].unapplied += held_back
                self.slots[account].settle(delta - held_back)
        for slot in self.slots.values():
            slot.landed()
        self.look()
        sums = tuple((world.state.accounts[id].slot, slot.unapplied) for id, slot in self.slots.items())
        world.play(c.TakeUnapplied(batch, 0, sums))
        world.finalize(batch)
        self.look()
        assert {id: slot.balance for id, slot in self.slots.items()} == {
            id: world.state.accounts[id].settled for id in self.slots
        }

    def look(self, landed=True):
        """The engine is shown every slot that has a limit or had one."""
        cut = self.world.state.cut
        batch = cut.batch if cut is not None else 0
        slots = tuple(self.slots[agent].seen(agent) for agent in self.agents)
        self.world.play(c.SeeLossLimits(batch, landed, slots))
        if landed:
            assert self.world.play(c.SeeLossLimits(batch, landed, slots)) == []

    def turn(self):
        """The next window begins."""
        for slot in self.slots.values():
            slot.used = 0
        self.look()

    def check(self):
        """Whoever is below maintenance, looking at all, is dealt with."""
        state = self.world.state
        for id in state.owned:
            assert not state.margin_of(state.accounts[id]).liquidatable or id in state.liquidations


def fees_beyond_reach(world):
    """What takeovers can have charged who had nothing within its limit's reach: half a percent, and what the mark is off the index."""
    taken = [event for event in world.journal if isinstance(event, TakenOver | Deleveraged)]
    return sum(abs(part.value) * 6 // 1000 for event in taken for part in event.parts)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_every_page_finds_what_it_has_to_take_while_marks_leave_time_to_liquidate(
    new_world, new_slot, replayed, check_opposite, seed
):
    world = new_world()
    history = History(world, new_slot, Random(seed), swing=20)
    for number in range(STEPS):
        history.step(number)
        check_opposite(world.state)
        owed = sum(max(0, -slot.unapplied) for slot in history.slots.values())
        if owed > fees_beyond_reach(world):
            pytest.fail(f"pages could not take {owed} micro-USDC")
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    assert dump(load(dump(world.state))) == dump(world.state)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_what_marks_that_jump_leave_untaken_is_taken_in_later_windows_and_lost_by_nobody(
    new_world, new_slot, seed
):
    world = new_world()
    history = History(world, new_slot, Random(seed), swing=600)
    for number in range(STEPS):
        history.step(number)
    for agent in history.agents:
        history.slots[agent].bound(10_000 * USDC)
    for _ in range(40):
        history.turn()
        history.settle()
    state = world.state
    assert sum(slot.unapplied for slot in history.slots.values()) == 0
    assert {id: history.slots[id].balance for id in history.agents} == {
        id: sum(max(0, state.worth_of(one).equity) for one in (state.accounts[id], *state.accounts[id].subs))
        for id in history.agents
    }


def test_limits_bind_in_these_histories(new_world, new_slot):
    histories = [History(new_world(), new_slot, Random(seed), swing=20) for seed in range(3)]
    for history in histories:
        for number in range(STEPS):
            history.step(number)
    assert sum(history.bounded for history in histories) > 10


def test_jumps_leave_pages_short_in_these_histories(new_world, new_slot):
    histories = [History(new_world(), new_slot, Random(seed), swing=600) for seed in range(6)]
    for history in histories:
        for number in range(STEPS):
            history.step(number)
    assert sum(history.short > 0 for history in histories) > 1
