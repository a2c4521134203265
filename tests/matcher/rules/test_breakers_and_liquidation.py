"""Liquidations under way when a market is paused, delisted or given other margin terms."""

import pytest

from core import events as e
from core.liquidation_events import LiquidationEnded, LiquidationSliced, LiquidationStarted
from core.margin_terms import MarginTerms, Tier
from core.market import MarketStatus
from core.operator_events import MarketSettled
from matcher import commands as c
from matcher.image import state_hash
from matcher.limits import AUCTION_PAUSE


def kinds(events):
    return [type(event) for event in events]


@pytest.fixture
def auctioned(world):
    """A maker, and a trader whose long position is up for auction: the maker is asked for a price."""
    maker, trader = world.agent(1, 10**13), world.agent(2, 1_300_000_000)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.play(c.SetQuotes(maker, 1, (), (), 0))
    world.play(c.Subscribe(maker, (1,)))
    world.index(1, 592_000)
    started = world.play(c.Advance())
    assert kinds(started)[:1] == [LiquidationStarted]
    (asked,) = world.play(c.Advance())
    assert isinstance(asked, e.RequestOpened)
    return maker, trader


def test_a_pause_ends_an_auction_with_its_record_and_a_later_one_follows(world, auctioned):
    _, trader = auctioned
    events = world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    assert kinds(events)[:2] == [e.RequestClosed, LiquidationSliced]
    assert world.state.book.requests == {}
    assert not any(isinstance(event, e.RequestOpened) for event in world.pass_time(3 * AUCTION_PAUSE))
    world.play(c.SetMarketStatus(1, MarketStatus.OPEN))
    world.index(1, 592_000)
    assert any(isinstance(event, e.RequestOpened) for event in world.pass_time(AUCTION_PAUSE))
    assert trader in world.state.liquidations


def test_delisting_ends_the_liquidations_of_those_who_held_nothing_else(world, auctioned, replayed):
    _, trader = auctioned
    events = world.play(c.DelistMarket(1, force=True))
    assert kinds(events)[-1] is MarketSettled
    ended = world.pass_time(0)
    assert [(event.account, event.why) for event in ended if isinstance(event, LiquidationEnded)] == [
        (trader, "delisted")
    ]
    assert world.state.liquidations == {}
    assert world.balance(trader) >= 0
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_forced_margin_terms_liquidate_at_once(world):
    maker, trader = world.agent(1, 10**13), world.agent(2, 1_300_000_000)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    assert world.pass_time(0) == []
    world.play(c.SetLimits(1, max_leverage=20, margin=MarginTerms((Tier(0, 50_000),)), force=True))
    assert kinds(world.play(c.Advance()))[:1] == [LiquidationStarted]


def test_withdrawals_are_gated_until_a_liquidation_has_paid_what_is_owed(world):
    maker, trader, idle = world.agent(1, 10**13), world.agent(2, 1_300_000_000), world.agent(3)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 585_000)
    assert kinds(world.play(c.Advance()))[:1] == [LiquidationStarted]
    assert world.refuse(c.ReserveWithdrawal(idle, 1_000_000, "w")) == "withdrawals_gated"
    world.pass_time(0)
    assert trader not in world.state.liquidations
    world.play(c.ReserveWithdrawal(idle, 1_000_000, "w"))


def test_the_fund_pays_for_a_delisting_down_to_its_floor(world):
    maker, trader = world.agent(1, 10**13), world.agent(2, 1_300_000_000)
    world.play(c.CreditDeposit(2, 10**9, "fund"))
    world.play(c.SetInsuranceFloor(10**9 - 5))
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "k", 1, 10_000, 600_000)
    world.index(1, 580_000)
    end = world.play(c.DelistMarket(1, force=True))[-1]
    assert (end.fund, world.balance(2)) == (5, 10**9 - 5)
    assert sum(position.shared for position in end.positions) == 5
