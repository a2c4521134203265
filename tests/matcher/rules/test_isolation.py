"""What isolated means: nobody's loss is anybody else's, and the chain still holds what the family has."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.accounts import INSURANCE
from core.liquidation_events import Deleveraged, LiquidationEnded, LiquidationStarted, TakenOver
from core.quantities import SECOND
from matcher import commands as c
from matcher.gates import below_zero
from matcher.image import state_hash

DEPOSIT = 10_000_000_000
STAKE = 1_300_000_000
LOTS = 10_000
"""Worth 60,000 USDC at the first index, of which 1,200 are required at first and 600 as maintenance."""


class Family:
    """A parent with a sub-account that holds `LOTS` of market 1 with hardly more than it needs, and a maker on the other side."""

    def __init__(self, world, fund=0):
        self.world = world
        self.maker = world.agent(1, 10**13)
        self.parent = world.agent(2, DEPOSIT)
        self.sub = world.play(c.OpenSubAccount(self.parent, 1))[0].account
        if fund:
            world.play(c.CreditDeposit(INSURANCE, fund, "fund"))
        world.play(c.Transfer(self.parent, self.parent, self.sub, STAKE, "stake"))
        self.trade(self.sub, 1, LOTS)

    def trade(self, account, side, lots, market=1):
        index = self.world.state.indexes[market].price
        self.world.quotes(self.maker, *([], [(index, lots)])[::side], market=market)
        final = self.world.closed(
            self.world.request(account, f"t{self.world.state.seq}", side, lots, index, market=market)
        )
        assert final.filled == lots

    def mark(self, price):
        self.world.now += SECOND
        self.world.index(1, price)
        return self.world.pass_time(0)

    def equity(self, account):
        return self.world.state.margin_of(self.world.state.accounts[account]).equity

    def slot(self):
        """What the chain holds for the family once every batch has landed."""
        return self.world.state.accounts[self.parent].settled


@pytest.fixture
def family(world):
    return Family(world)


def test_a_bankrupt_sub_account_is_the_funds_and_leaves_its_parent_as_it_was(world):
    family = Family(world, fund=10**12)
    before = world.balance(family.parent)
    events = family.mark(580_000)
    (taken,) = [event for event in events if isinstance(event, TakenOver)]
    assert (taken.account, taken.equity < 0) == (family.sub, True)
    assert (world.balance(family.sub), world.held(family.sub)) == (0, (0, 0))
    assert world.held(INSURANCE)[0] == LOTS
    assert world.balance(family.parent) == family.equity(family.parent) == before == DEPOSIT - STAKE
    family_events = [event.account for event in events if hasattr(event, "account")]
    assert family.parent not in family_events


def test_without_a_fund_the_winners_pay_and_the_parent_does_not(world, family):
    events = family.mark(580_000)
    (closed,) = [event for event in events if isinstance(event, Deleveraged)]
    assert {part.other for part in closed.parts} == {family.maker}
    assert (world.balance(family.sub), world.held(family.sub)) == (0, (0, 0))
    assert world.balance(family.parent) == DEPOSIT - STAKE
    assert isinstance(events[-1], LiquidationEnded)


def test_the_parents_equity_does_not_keep_its_sub_account_from_liquidation_nor_the_other_way_round(
    world, family
):
    assert family.equity(family.parent) > 5 * STAKE
    events = family.mark(592_500)
    assert [event.account for event in events if isinstance(event, LiquidationStarted)] == [family.sub]
    assert family.parent not in world.state.liquidations
    other = Family.__new__(Family)
    other.world, other.maker = world, world.agent(5, 10**13)
    other.parent = world.agent(6, STAKE + DEPOSIT)
    other.sub = world.play(c.OpenSubAccount(other.parent, 1))[0].account
    world.play(c.Transfer(other.parent, other.parent, other.sub, DEPOSIT, "stake"))
    other.trade(other.parent, 1, LOTS)
    events = other.mark(580_000)
    assert other.parent in [event.account for event in events if isinstance(event, LiquidationStarted)]
    assert world.balance(other.sub) == DEPOSIT


def test_the_parents_money_does_not_open_positions_of_its_sub_account(world, family):
    family.world.quotes(family.maker, [], [(600_000, LOTS)])
    assert world.request(family.sub, "k", 1, LOTS, 600_000).code == "insufficient_margin"
    assert world.closed(world.request(family.parent, "k", 1, LOTS, 600_000)).filled == LOTS


def test_who_is_liquidated_gives_nothing_but_may_be_saved(world, family):
    started = [event for event in family.mark(593_200) if isinstance(event, LiquidationStarted)]
    assert [event.account for event in started] == [family.sub]
    back = c.Transfer(family.parent, family.sub, family.parent, 1, "back")
    assert world.refuse(back) == "being_liquidated"
    world.play(c.Transfer(family.parent, family.parent, family.sub, STAKE, "save"))
    events = world.pass_time(5 * SECOND)
    assert [event.why for event in events if isinstance(event, LiquidationEnded)] == ["recovered"]
    assert world.held(family.sub)[0] == LOTS


def test_the_slot_settles_what_the_family_has(world, family):
    family.mark(606_000)
    world.play(c.CutSettlement(1))
    assert family.equity(family.sub) > STAKE
    assert family.slot() == family.equity(family.parent) + family.equity(family.sub)
    assert family.sub not in world.state.cut.deltas
    assert world.state.cut.equities[family.sub] == family.equity(family.sub)
    assert world.state.cut.balances[family.sub] == world.balance(family.sub)


def test_a_transfer_changes_nothing_on_chain(world, family):
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.play(c.Transfer(family.parent, family.parent, family.sub, 5, "more"))
    world.play(c.CutSettlement(2))
    assert world.state.cut.deltas == {}


def test_a_sub_account_in_debt_takes_nothing_from_its_parents_slot_and_its_owner_takes_nothing_out(world):
    family = Family(world, fund=10**9)
    world.now += SECOND
    world.index(1, 580_000)
    debt = -family.equity(family.sub)
    assert debt > 0
    world.play(c.CutSettlement(1))
    assert family.slot() == family.equity(family.parent) == DEPOSIT - STAKE
    assert below_zero(world.state) == [family.sub]
    assert world.state.accounts[INSURANCE].settled == 10**9 - debt
    assert sum(world.state.cut.deltas.values()) == 0
    assert world.refuse(c.ReserveWithdrawal(family.parent, 1, "w")) == "withdrawals_gated"
    world.pass_time(0)
    world.play(c.ReserveWithdrawal(family.parent, 1, "w"))
    assert world.balance(family.parent) == DEPOSIT - STAKE - 1


def test_a_parent_in_debt_takes_nothing_from_its_sub_account(world, family):
    world.play(c.Transfer(family.parent, family.parent, family.sub, DEPOSIT - 2 * STAKE, "more"))
    family.trade(family.parent, 1, LOTS)
    world.now += SECOND
    world.index(1, 580_000)
    assert family.equity(family.parent) < 0 < family.equity(family.sub)
    world.play(c.CutSettlement(1))
    assert family.slot() == family.equity(family.sub)
    assert below_zero(world.state) == [family.parent]


def test_what_the_sub_account_made_is_withdrawn_through_the_parent_once_it_is_settled(world, family):
    family.mark(620_000)
    family.trade(family.sub, -1, LOTS)
    won = world.balance(family.sub)
    assert won > STAKE
    world.play(c.Transfer(family.parent, family.sub, family.parent, won, "home"))
    everything = world.balance(family.parent)
    assert world.refuse(c.ReserveWithdrawal(family.parent, everything, "w")) == "withdrawal_too_large"
    world.play(c.CutSettlement(1))
    world.play(c.ReserveWithdrawal(family.parent, everything, "w"))
    assert (world.balance(family.parent), family.slot()) == (0, 0)


def test_delisting_closes_a_sub_account_and_what_it_has_goes_home(world, family):
    world.play(c.DelistMarket(1, force=True))
    left = world.balance(family.sub)
    assert world.held(family.sub) == (0, 0)
    world.play(c.Transfer(family.parent, family.sub, family.parent, left, "home"))
    assert world.balance(family.parent) == DEPOSIT - STAKE + left


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.sampled_from([-12_000, -4_000, -500, 500, 4_000, 12_000])),
        st.tuples(st.just("trade"), st.sampled_from([-3_000, -500, 500, 3_000])),
        st.tuples(st.just("cut"), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, fund=st.sampled_from([0, 10**9, 10**12]))
def test_whatever_becomes_of_a_sub_account_its_parent_keeps_every_micro_unit(
    new_world, replayed, steps, fund
):
    """The parent only lends its name: its balance never moves, and the slot holds it and what the sub-account has above zero."""
    family = Family(new_world(), fund)
    world, batch = family.world, 0
    for kind, amount in steps:
        if kind == "mark":
            family.mark(max(1_000, world.state.indexes[1].price + amount))
        elif kind == "trade":
            index, side = world.state.indexes[1].price, 1 if amount > 0 else -1
            world.quotes(family.maker, [(index - 1, abs(amount))], [(index + 1, abs(amount))])
            world.request(family.sub, f"t{world.state.seq}", side, abs(amount), index + side)
        else:
            batch += 1
            world.play(c.CutSettlement(batch))
            check_slots(world.state)
            world.finalize(batch)
        assert world.balance(family.parent) == DEPOSIT - STAKE
        assert family.parent not in world.state.liquidations
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["mark", "other", "sub", "parent", "there", "home"]),
        st.sampled_from([-12_000, -4_000, -500, 500, 4_000, 12_000]),
    ),
    min_size=5,
    max_size=40,
)


def played(world, moves, *, sub_trades):
    """The parent after `moves`: it trades market 2, its sub-account market 1 or not at all; collateral that can go comes and goes."""
    family = Family(world, 10**12)
    lent = 0
    for number, (kind, amount) in enumerate(moves):
        side, lots = (1 if amount > 0 else -1), abs(amount)
        if kind == "mark":
            family.mark(max(1_000, world.state.indexes[1].price + amount))
        elif kind == "other":
            world.now += SECOND
            world.index(2, max(1_000, world.state.indexes[2].price + amount))
            world.pass_time(0)
        elif kind == "parent" or (sub_trades and kind == "sub"):
            market, account = (2, family.parent) if kind == "parent" else (1, family.sub)
            index = world.state.indexes[market].price
            world.quotes(family.maker, [(index - 1, lots)], [(index + 1, lots)], market=market)
            world.request(account, f"k{number}", side, lots, index + side, market=market)
            world.play(c.CancelAll(family.maker))
        elif kind == "there":
            moved = world.do(c.Transfer(family.parent, family.parent, family.sub, lots, f"t{number}"))
            lent += lots if isinstance(moved, list) else 0
        elif kind == "home":
            moved = world.do(c.Transfer(family.parent, family.sub, family.parent, lots, f"t{number}"))
            lent -= lots if isinstance(moved, list) else 0
    parent = world.state.accounts[family.parent]
    held = [(market, one.size, one.cost) for market, one in parent.positions.items()]
    return parent.balance + lent, held


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_but_for_transfers_a_parent_is_what_it_would_be_had_its_sub_account_never_traded(new_world, moves):
    assert played(new_world(), moves, sub_trades=True) == played(new_world(), moves, sub_trades=False)


def check_slots(state):
    """After a cut the slots hold what deposits left, none less than nothing, and without a debt each what its accounts have."""
    slots = [account for account in state.accounts.values() if account.page >= 0]
    assert sum(account.settled for account in slots) == state.deposited - state.paid_out - state.reserved
    assert min(account.settled for account in slots) >= 0
    for account in slots:
        group = [account, *account.subs]
        worth = sum(max(0, state.cut.equities[one.id]) for one in group)
        assert account.settled <= worth or account.id == INSURANCE
        if min(state.cut.equities.values()) >= 0:
            assert account.settled == worth
