"""What a look found holds until something changes: an account that was saved meanwhile is neither liquidated nor warned."""

import pytest

from core.liquidation_events import LiquidationStarted, MarginWarned
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import state_hash

USDC = 1_000_000


@pytest.fixture
def family(world):
    """An owner's account and its sub-account, which is long 5 ETH at 3,000 and leans on money that is then asked out of the slot."""
    maker, parent = world.agent(1, 10**13), world.agent(2, 4_000 * USDC)
    sub = world.play(c.OpenSubAccount(parent, 2))[0].account
    world.play(c.Transfer(parent, parent, sub, 2_000 * USDC, "margin"))
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.quotes(maker, [], [(300_000, 5_000)], market=2)
    world.request(sub, "long", 1, 5_000, 300_000, market=2)
    world.play(c.RequestExit(parent, 3_000 * USDC, world.now // SECOND))
    world.pass_time(0)
    assert world.state.matured == {parent}
    return parent, sub


@pytest.mark.parametrize(
    ("price", "kind"),
    [(285_000, LiquidationStarted), (294_000, MarginWarned)],
    ids=["liquidation", "warning"],
)
def test_money_paid_into_its_family_saves_an_account_before_its_turn(world, family, replayed, price, kind):
    parent, sub = family
    world.index(2, price)
    assert (
        0 < world.state.next_deadline() <= world.now
    )  # Asked after every command, and answered with a look.
    assert (sub in world.state.watch.due) == (kind is LiquidationStarted)
    assert (sub in world.state.watch.warned) == (kind is MarginWarned)
    world.play(c.CreditDeposit(parent, 3_000 * USDC, "saves"))
    assert not [event for event in world.pass_time(0) if isinstance(event, LiquidationStarted | MarginWarned)]
    assert not world.state.watch.due | world.state.watch.warned.keys()
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


@pytest.mark.parametrize(
    ("price", "kind"),
    [(285_000, LiquidationStarted), (294_000, MarginWarned)],
    ids=["liquidation", "warning"],
)
def test_money_that_does_not_save_it_changes_nothing(world, family, price, kind):
    parent, sub = family
    world.index(2, price)
    assert 0 < world.state.next_deadline() <= world.now
    world.play(c.CreditDeposit(parent, 1, "a micro-USDC"))
    assert [event.account for event in world.pass_time(0) if isinstance(event, kind)] == [sub]
