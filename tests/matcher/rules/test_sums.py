"""The sums that are asked for all the time are kept with every change: each history of these rules compares them with the accounts."""

import msgspec
import pytest

from core.accounts import INSURANCE
from core.debt_events import DebtCovered
from core.events import Filled
from core.operator_events import MarketSettled, SettledPosition
from matcher.apply import apply
from matcher.image import dump, load
from matcher.state import adds_up, conserved, positions_zero_sum


@pytest.fixture
def fill(world) -> Filled:
    maker, taker = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_010, 1_000)])
    fill = world.request(taker, "k", 1, 10, 600_010)[0]
    assert isinstance(fill, Filled)
    return fill


def test_a_state_from_a_snapshot_has_the_sums_of_its_accounts(world, fill):
    again, kept = load(dump(world.state)).sums, world.state.sums
    assert kept.balances > 0
    assert (again.balances, again.costs, again.lots) == (kept.balances, kept.costs, kept.lots)


def test_a_cost_that_nobody_has_on_the_other_side_shows(world, fill):
    apply(world.state, msgspec.structs.replace(fill, fill=fill.fill + 1, maker_cost=2 * fill.maker_cost + 1))
    assert not adds_up(world.state, world.state.sums)
    assert not conserved(world.state)


def test_money_that_nobody_gave_shows(world, fill):
    apply(world.state, DebtCovered(world.now, fill.taker, debt=5, fund=3, treasury=1, shares=(), left=0))
    assert world.state.accounts[INSURANCE].balance == -3
    assert not adds_up(world.state, world.state.sums)
    assert not conserved(world.state)


def test_a_position_without_another_side_shows(world, fill):
    end = SettledPosition(fill.taker, fill.size, 0, 0)
    apply(world.state, MarketSettled(world.now, 1, 600_010, (end,), 0, 0, True, "somebody", "to see it"))
    assert not world.state.sums.zero
    assert not positions_zero_sum(world.state)
