"""The insurance fund below zero: what it owes is seen at once, nothing leaves meanwhile, and a cut pays nobody with it."""

import pytest

from core.accounts import CLEARING, INSURANCE
from core.debt_events import DebtCovered
from core.liquidation_events import Deleveraged, LiquidationEnded, LiquidationPaused
from matcher import commands as c
from matcher.image import state_hash
from matcher.limits import AUCTION_PAUSE


@pytest.fixture
def debt(world):
    """A trader 287,000 USDC in debt, and opposite to it one that gained as much there but has lost 402,000 elsewhere."""
    maker, trader, whale = (
        world.agent(1, 105_000_000_000),
        world.agent(2, 13_000_000_000),
        world.agent(3, 10**13),
    )
    world.quotes(maker, [], [(600_000, 100_000)])
    world.request(trader, "btc", 1, 100_000, 600_000)
    world.quotes(whale, [], [(300_000, 150_000)], market=2)
    world.request(maker, "eth", 1, 150_000, 300_000, market=2)
    world.play(c.CancelAll(whale))
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.index(2, 32_000)
    world.index(1, 300_000)
    return world, trader, whale


def until(world, kind, account):
    """What is due without any time passing, up to the first event of this kind about this account."""
    events = []
    while 0 < world.state.next_deadline() <= world.now:
        events += world.play(c.Advance())
        if any(isinstance(event, kind) and event.account == account for event in events):
            return events
    raise AssertionError(events)


def check_cut(world, batch):
    """A cut settles what is there: nobody below zero, nobody more than it has, and nothing made or lost."""
    state, before = world.state, {id: one.settled for id, one in world.state.accounts.items()}
    world.play(c.CutSettlement(batch))
    settled = {id: one.settled for id, one in state.accounts.items() if id != CLEARING}
    equities = {id: state.margin_of(state.accounts[id]).equity for id in settled}
    assert sum(state.cut.deltas.values()) == 0
    assert all(settled[id] == before[id] + state.cut.deltas.get(id, 0) >= 0 for id in settled)
    assert all(settled[id] <= max(0, equities[id]) for id in settled)
    owed = -sum(min(0, equity) for equity in equities.values())
    assert sum(max(0, equities[id]) - settled[id] for id in settled) == owed
    return owed


def test_while_the_fund_waits_below_zero_nothing_leaves_and_a_cut_pays_nobody_with_its_debt(debt):
    world, _, whale = debt
    until(world, LiquidationPaused, INSURANCE)
    fund = world.state.margin_of(world.state.accounts[INSURANCE])
    assert fund.equity < 0 < fund.maintenance
    assert world.refuse(c.ReserveWithdrawal(whale, 1, "w")) == "withdrawals_gated"
    assert check_cut(world, 2) >= -fund.equity


def test_the_fund_does_not_wait_when_it_has_nothing_left(debt, replayed):
    world, *_ = debt
    ended = until(world, LiquidationEnded, INSURANCE)[-1]
    assert (ended.account, ended.why) == (INSURANCE, "deleveraged")
    assert ended.equity == world.balance(INSURANCE) < 0
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_what_the_fund_owes_in_the_end_is_paid_at_once_by_who_has_something(debt):
    world, _, whale = debt
    ended = until(world, LiquidationEnded, INSURANCE)[-1]
    world.pass_time(0)
    (paid,) = [event for event in world.journal if isinstance(event, DebtCovered)]
    assert (paid.account, paid.debt, paid.left) == (INSURANCE, -ended.equity, 0)
    assert dict(paid.shares)[whale] > 0
    assert world.balance(INSURANCE) == 0
    world.play(c.ReserveWithdrawal(whale, 1, "w"))


def test_a_fund_for_whose_position_nobody_can_pay_is_asked_for_again(debt):
    """The one that could not pay gets money while the fund waits."""
    world, *_ = debt
    until(world, LiquidationPaused, INSURANCE)
    maker = 16
    world.play(c.CreditDeposit(maker, 10**12, "rescue"))
    before = len(world.journal)
    world.pass_time(AUCTION_PAUSE)
    done = [event for event in world.journal[before:] if isinstance(event, Deleveraged)]
    assert [(event.account, event.left) for event in done] == [(INSURANCE, 0)]
    assert world.balance(INSURANCE) == 0
    assert not world.state.liquidations
