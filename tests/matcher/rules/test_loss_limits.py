"""Owners' loss limits on chain: what settlement cannot take backs no trade, and is kept by who is liquidated."""

import pytest

from core import events as e
from core.accounts import INSURANCE
from core.events import MarkUpdated
from core.exit_events import DeltasUnapplied
from core.liquidation_events import LiquidationSliced, LiquidationStarted, TakenOver
from core.loss_limit_events import NO_LIMIT, LossLimitsSeen
from core.market import MarketStatus
from core.quantities import MONEY_MAX, SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.preview import preview_trade
from matcher.rejections import Rejection
from matcher.retrace import retrace

USDC = 1_000_000


def see(world, account: int, limit: int, left: int | None = None, *, landed: bool = True, unapplied: int = 0):
    """The chain shows a limit, of which `left` is left in its window; by default all."""
    cut = world.state.cut
    slot = c.LimitedSlot(account, limit, limit if left is None else left, unapplied)
    return world.play(c.SeeLossLimits(cut.batch if cut is not None else 0, landed, (slot,)))


def trade(world, buyer: int, seller: int, lots: int, key: str, price: int = 600_000) -> str:
    """`buyer` takes `lots` from `seller`; how it ended, or why it was refused."""
    world.quotes(seller, [], [(price, lots)])
    return ask(world, buyer, key, 1, lots, price)


def ask(world, account: int, key: str, side: int, lots: int, price: int) -> str:
    outcome = world.request(account, key, side, lots, price)
    return outcome.code.value if isinstance(outcome, Rejection) else world.closed(outcome).outcome


def collateral(world, account: int) -> int:
    return world.state.margin_of(world.state.accounts[account]).equity


def equity(world, account: int) -> int:
    return world.state.worth_of(world.state.accounts[account]).equity


def left(world, account: int) -> int:
    return world.state.loss_limits[account].left


def held_up(world, account: int) -> bool:
    """Whether the limit keeps a loss from settlement, as an owner reads it in its account (`api.schemas.ExitAnswer`)."""
    return world.state.accounts[account].settled - equity(world, account) > left(world, account)


def cut(world, batch: int) -> None:
    world.play(c.CutSettlement(batch))


def test_no_trade_needs_more_than_settlement_may_take(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    assert see(world, agent, 1_000 * USDC) == [
        LossLimitsSeen(world.now, ((agent, 1_000 * USDC, 1_000 * USDC),))
    ]
    # 1.0 BTC at 60,000 need 1,200 USDC of initial margin at 50 times.
    assert trade(world, agent, other, 10_000, "much") == "loss_limit_reached"
    assert world.refuse(c.SetQuotes(agent, 1, ((599_000, 10_000),), (), world.now + SECOND)) == (
        "loss_limit_reached"
    )
    assert trade(world, agent, other, 100_000, "more than there is") == "insufficient_margin"
    assert trade(world, agent, other, 8_000, "less") == "filled"
    assert collateral(world, agent) == 1_000 * USDC - (
        equity(world, other) and 10_000 * USDC - equity(world, agent)
    )
    # What is in reach is used up; getting smaller is always allowed.
    assert trade(world, agent, other, 1_000, "a little more") == "loss_limit_reached"
    world.quotes(other, [(600_000, 8_000)], [])
    assert ask(world, agent, "out", -1, 8_000, 600_000) == "filled"


def test_a_maker_beyond_its_limit_is_passed_over(world):
    maker, other, taker = world.agent(1, 10_000 * USDC), world.agent(2), world.agent(3)
    world.quotes(maker, [], [(600_000, 20_000)])
    world.quotes(other, [], [(600_010, 20_000)])
    # As if the limit were seen with the quote: `see` would pull it.
    world.record(LossLimitsSeen(world.now, ((maker, 100 * USDC, 100 * USDC),)))
    told = world.request(taker, "t", 1, 20_000, 600_010)
    [refused] = [event for event in told if isinstance(event, e.QuoteRejected)]
    assert (refused.account, refused.code) == (maker, "loss_limit_reached")
    assert world.closed(told).outcome == "filled"


def test_what_was_lost_counts_settled_or_not_until_the_window_turns(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    see(world, agent, 1_000 * USDC)
    assert trade(world, agent, other, 4_000, "open") == "filled"
    world.index(1, 599_000)
    lost = 10_000 * USDC - equity(world, agent)
    assert collateral(world, agent) == 1_000 * USDC - lost
    cut(world, 1)
    assert left(world, agent) == 1_000 * USDC - lost
    assert collateral(world, agent) == 1_000 * USDC - lost
    # Before the page has taken it, and after: the same, so nothing is recorded.
    assert see(world, agent, 1_000 * USDC, 1_000 * USDC, landed=False) == []
    assert see(world, agent, 1_000 * USDC, 1_000 * USDC - lost) == []
    # The next window: all of the limit is left again, of what is left in the slot.
    world.finalize(1)
    see(world, agent, 1_000 * USDC)
    assert collateral(world, agent) == 1_000 * USDC


def test_a_gain_makes_room_only_once_the_chain_gave_it_and_as_far_as_the_window_has_seen_losses(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    see(world, agent, 1_000 * USDC)
    assert trade(world, agent, other, 8_000, "open") == "filled"
    world.index(1, 610_000)
    gained = equity(world, agent) - 10_000 * USDC
    assert gained > 700 * USDC
    assert trade(world, agent, other, 4_000, "on the gain", 610_000) == "loss_limit_reached"
    cut(world, 1)
    assert collateral(world, agent) == 1_000 * USDC
    # The chain saw no loss in this window: a gain adds nothing to what may be lost.
    assert see(world, agent, 1_000 * USDC, 1_000 * USDC) == []


def test_who_was_just_allowed_to_open_is_not_liquidated_by_a_batch(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    see(world, agent, 1_000 * USDC)
    trade(world, agent, other, 6_000, "open")
    world.index(1, 620_000)
    for n, lots in enumerate((4_000, 2_000, 1_000, 500, 200, 100)):
        trade(world, agent, other, lots, f"more {n}", 620_000)
    assert world.state.worth_of(world.state.accounts[agent]).initial > 900 * USDC
    cut(world, 1)
    world.pass_time(0)
    assert not world.state.liquidations


def test_a_lower_limit_pulls_the_quotes_that_it_does_not_back(world):
    agent = world.agent(1, 10_000 * USDC)
    world.play(c.Subscribe(agent, (1, 2)))
    world.quotes(agent, [(599_000, 60_000)], [(601_000, 60_000)])
    world.quotes(agent, [(299_000, 100)], [(301_000, 100)], market=2)
    request = world.opened(world.request(world.agent(2), "asks", 1, 70_000, 600_500, auto=False))
    world.play(c.AnswerRequest(agent, request.request, 599_000, 600_900, 70_000, 1, world.now + SECOND))
    assert [type(event) for event in see(world, agent, 10_000 * USDC)] == [LossLimitsSeen]
    told = see(world, agent, 1_000 * USDC)
    assert [type(event) for event in told] == [LossLimitsSeen, e.QuotesPulled, e.QuoteWithdrawn]
    assert (told[1].market, told[1].why, told[2].why) == (1, "loss_limit", "loss_limit")
    assert (agent, 2) in world.state.book.standing
    assert see(world, agent, 1_000 * USDC) == []
    # A higher one pulls nothing, and none at all leaves nothing behind.
    assert [type(event) for event in see(world, agent, 2_000 * USDC)] == [LossLimitsSeen]
    see(world, agent, NO_LIMIT, 0)
    assert (world.state.loss_limits, collateral(world, agent)) == ({}, 10_000 * USDC)
    assert see(world, agent, NO_LIMIT, 0) == []


def test_what_was_seen_before_the_last_cut_says_nothing(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 4_000, "open")
    cut(world, 1)
    assert world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(agent, 5, 5, 0),))) == []
    assert world.state.loss_limits == {}


def test_what_a_page_did_not_take_is_counted_once(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 80_000, "open")
    world.index(1, 599_500)
    cut(world, 1)
    debit = -world.state.cut.deltas[agent]
    # Only seen when the page has taken 100 USDC of the debit: what the books have settled is too low by the rest.
    short = debit - 100 * USDC
    see(world, agent, 100 * USDC, 0, unapplied=-short)
    assert left(world, agent) == -short
    assert collateral(world, agent) == 0
    assert held_up(world, agent)
    account = world.state.accounts[agent]
    told = world.play(c.TakeUnapplied(1, account.page, ((account.slot, -short),)))
    assert isinstance(told[0], DeltasUnapplied)
    assert (left(world, agent), collateral(world, agent)) == (0, 0)
    assert see(world, agent, 100 * USDC, 0, unapplied=-short) == []
    assert held_up(world, agent)
    # Raised, it lets the next batch take the rest.
    see(world, agent, 100 * USDC + short, short, unapplied=-short)
    assert not held_up(world, agent)
    world.finalize(1)
    cut(world, 2)
    assert (-world.state.cut.deltas[agent], held_up(world, agent)) == (short, False)


def test_who_falls_below_maintenance_within_its_reach_is_liquidated_and_keeps_the_rest(world, replayed):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    see(world, agent, 2_400 * USDC)
    before = equity(world, agent)
    assert collateral(world, agent) == 2_400 * USDC
    # 2.0 BTC at 59,060 require 1,181 USDC of maintenance. Below two thirds of it the fund takes over: nothing within reach is left.
    world.index(1, 590_600)
    told = world.pass_time(0)
    [started] = [event for event in told if isinstance(event, LiquidationStarted)]
    assert (started.account, started.equity) == (agent, 2_400 * USDC - 1_880 * USDC)
    assert any(isinstance(event, TakenOver) for event in told)
    assert world.held(agent) == (0, 0)
    # An auction's fee on 118,120 USDC is 590.60, of which 520 were within reach: the rest is owed by what is beyond.
    lost = 1_880 * USDC + 590_600_000
    assert equity(world, agent) == before - lost
    assert world.state.accounts[agent].settled - equity(world, agent) == left(world, agent) + 70_600_000
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_an_owner_that_lowers_its_limit_after_a_loss_is_paid_by_nobody(world):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    world.index(1, 598_000)
    worth, fund = equity(world, agent), equity(world, INSURANCE)
    assert 10_000 * USDC - worth > 300 * USDC
    see(world, agent, 100 * USDC)
    assert collateral(world, agent) == 0
    world.pass_time(0)
    # Out for the fee of an auction, 0.5 % of 119,600 USDC: it keeps the rest, and owes what it lost, as much of it in each window as
    # its limit lets settlement take.
    assert world.held(agent) == (0, 0)
    assert (equity(world, agent), equity(world, INSURANCE)) == (worth - 598 * USDC, fund + 598 * USDC)
    assert not world.state.watch.debtors


@pytest.mark.parametrize("validity", [Validity.AGED, Validity.STALE, Validity.UNCERTAIN])
def test_a_lower_limit_sells_to_nobody_at_a_price_that_nobody_would_trade_at(world, validity):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.index(1, 600_000, validity=validity)
    see(world, agent, 0)
    world.pass_time(0)
    assert (world.held(agent)[0], world.state.liquidations) == (20_000, {})
    # At the first price that is believed it is what its position is worth then, not what it was worth when it asked.
    fund = equity(world, INSURANCE)
    world.index(1, 590_000)
    world.pass_time(0)
    assert world.held(agent) == (0, 0)
    assert equity(world, agent) == 10_000 * USDC - world.treasury - 2_000 * USDC - 590 * USDC
    assert equity(world, INSURANCE) == fund + 590 * USDC


def test_a_lower_limit_sells_to_nobody_while_the_market_is_paused(world):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED, who="ada", why="the price looks wrong"))
    world.index(1, 600_000)
    see(world, agent, 0)
    world.pass_time(0)
    assert (world.held(agent)[0], world.state.liquidations) == (20_000, {})
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY, who="ada", why="it is right"))
    world.pass_time(0)
    assert world.held(agent) == (0, 0)


def test_who_lowers_its_limit_is_auctioned_before_the_fund_takes_anything(world, replayed):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.quotes(other, [(599_000, 14_000)], [])
    see(world, agent, 0)
    told = world.pass_time(0)
    slices = [event for event in told if isinstance(event, LiquidationSliced)]
    # Slices while the rest is worth more than 100,000 USDC, then all of it, of which a part finds nobody: that the fund takes.
    assert [one.size for one in slices] == [4_000, 10_000]
    assert [one.fee for one in slices] == [119_800_000, 299_500_000]
    [taken] = [event for event in told if isinstance(event, TakenOver)]
    assert [part.size for part in taken.parts] == [6_000]
    assert (equity(world, agent), world.held(agent)) == (
        10_000 * USDC - world.treasury - 140 * USDC - 419_300_000 - 180 * USDC,
        (0, 0),
    )
    assert retrace(lambda: enumerate(world.journal, 1), 1)
    assert not [
        step.differences for step in retrace(lambda: enumerate(world.journal, 1), 1) if step.differences
    ]
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_a_lot_now_and_then_keeps_nobody_from_being_taken_over(world):
    """A friend who bids for one lot of every slice would otherwise hold the account where it is, and wait for a better mark."""
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other, friend = world.agent(1, 10_000 * USDC), world.agent(2), world.agent(3)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.quotes(friend, [(599_000, 1)], [])
    see(world, agent, 0)
    told = world.pass_time(0)
    assert [event.size for event in told if isinstance(event, LiquidationSliced)] == [1]
    assert world.held(agent) == (0, 0)


def test_a_market_that_opens_again_is_asked_before_the_fund(world):
    """That a pause ended the auction says nothing of who would have bought."""
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.play(c.Subscribe(other, (1,)))
    see(world, agent, 0)
    assert any(isinstance(event, e.RequestOpened) for event in world.pass_time(0))
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED, who="ada", why="the price looks wrong"))
    world.pass_time(0)
    assert world.held(agent)[0] == 20_000
    world.play(c.SetMarketStatus(1, MarketStatus.OPEN, who="ada", why="it is right"))
    [opened] = [event for event in world.pass_time(0) if isinstance(event, e.RequestOpened)]
    assert (opened.account, opened.makers, world.held(agent)[0]) == (agent, (other,), 20_000)


@pytest.mark.parametrize("funded", [True, False])
def test_a_mark_above_the_index_is_no_price_for_who_leaves(world, funded):
    if funded:
        world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    trade(world, agent, other, 20_000, "open")
    cut(world, 1)
    world.record(MarkUpdated(world.now, 1, 602_000, 602_000, 602_000, 0))
    assert world.state.mark_price(1) == 602_000
    see(world, agent, 0)
    world.pass_time(0)
    assert world.held(agent) == (0, 0)
    assert equity(world, agent) == 10_000 * USDC - world.treasury - 600 * USDC


def test_withdrawals_and_exits_take_what_backs_nothing_first(world):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    see(world, agent, 1_000 * USDC)
    trade(world, agent, other, 8_000, "open")
    worth, backing = equity(world, agent), collateral(world, agent)
    world.play(c.ReserveWithdrawal(agent, 3_000 * USDC, "w"))
    assert (equity(world, agent), collateral(world, agent)) == (worth - 3_000 * USDC, backing)
    # 5,900 are asked for and 6,000 are out of reach, of 7,000: what is out of reach leaves first, so 6,000 back nothing, not 11,900.
    world.play(c.RequestExit(agent, 5_900 * USDC, world.now // SECOND + 3_600))
    world.quotes(other, [(600_000, 4_000)], [])
    assert ask(world, agent, "less", -1, 4_000, 600_000) == "filled"
    assert trade(world, agent, other, 3_000, "again") == "filled"
    assert trade(world, agent, other, 1_500, "too much") == "loss_limit_reached"
    world.play(c.RequestExit(agent, 6_950 * USDC, world.now // SECOND + 3_600))
    assert trade(world, agent, other, 10, "leaving") == "insufficient_margin"
    # A deposit is no more in reach than what was there.
    backing = collateral(world, agent)
    world.play(c.CreditDeposit(agent, 500 * USDC, "more"))
    assert collateral(world, agent) == backing


def test_a_familys_limit_binds_the_parent_first_then_its_sub_accounts(world):
    parent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    world.play(c.Transfer(parent, parent, sub, 2_000 * USDC, "t1"))
    see(world, parent, 3_000 * USDC)
    # 7,000 of 10,000 are out of reach: the parent has 1,000 left of its 8,000, the sub-account all.
    assert (collateral(world, parent), collateral(world, sub)) == (1_000 * USDC, 2_000 * USDC)
    assert world.refuse(c.Transfer(parent, parent, sub, 1_001 * USDC, "t2")) == "transfer_too_large"
    assert trade(world, sub, other, 16_000, "sub") == "filled"
    assert trade(world, parent, other, 10_000, "parent") == "loss_limit_reached"
    assert trade(world, parent, other, 8_000, "parent") == "filled"
    # Lower than what the parent has: now its sub-account has less, too, and both are liquidated at once, riskiest first.
    see(world, parent, 500 * USDC)
    assert collateral(world, parent) == 0
    assert collateral(world, sub) == equity(world, sub) - (9_500 * USDC - equity(world, parent))
    told = world.pass_time(0)
    started = [event.account for event in told if isinstance(event, LiquidationStarted)]
    assert started == [parent, sub]


def test_a_sub_account_is_liquidated_when_its_parent_lost_more_than_was_in_reach(world):
    world.play(c.CreditDeposit(INSURANCE, 1_000_000 * USDC, "fund"))
    parent, other = world.agent(1, 4_000 * USDC), world.agent(2)
    sub = world.play(c.OpenSubAccount(parent, 2))[0].account
    world.play(c.Transfer(parent, parent, sub, 1_000 * USDC, "t"))
    see(world, parent, 1_900 * USDC)
    trade(world, parent, other, 7_000, "parent")
    world.quotes(other, [], [(300_000, 5_000)], market=2)
    assert world.closed(world.request(sub, "sub", 1, 5_000, 300_000, market=2)).outcome == "filled"
    world.index(1, 600_000)
    world.index(2, 300_000)
    assert world.pass_time(0) == []
    # 0.7 BTC lose 1,750 USDC at once, and the parent had 900 within reach. Nothing happens in the sub-account's market.
    world.index(1, 575_000)
    told = world.pass_time(0)
    assert [event.account for event in told if isinstance(event, LiquidationStarted)] == [parent, sub]
    # What is out of reach is left to both but for the fees: on 40,250 USDC of the parent's, for which nothing is within reach, and on
    # what the sub-account sells with 37.50 within reach.
    assert world.held(parent) == world.held(sub, 2) == (0, 0)
    assert equity(world, parent) == 1_229 * USDC - 201_250_000
    assert 2_100 * USDC - 201_250_000 - 75 * USDC < equity(world, parent) + equity(world, sub) < 2_100 * USDC


def test_limits_survive_a_snapshot(world, replayed):
    agent, other = world.agent(1, 10_000 * USDC), world.agent(2)
    see(world, agent, 1_000 * USDC, 400 * USDC)
    trade(world, agent, other, 3_000, "open")
    loaded = load(dump(world.state))
    assert loaded.loss_limits == world.state.loss_limits
    assert state_hash(loaded) == state_hash(world.state) == state_hash(replayed(world.journal))
    assert loaded.margin_of(loaded.accounts[agent]) == world.state.margin_of(world.state.accounts[agent])


def test_a_preview_says_that_the_limit_binds(world):
    agent = world.agent(1, 10_000 * USDC)
    account = world.state.accounts[agent]
    see(world, agent, 1_000 * USDC)
    much, less = (
        preview_trade(world.state, account, 1, lots, 600_000, world.now) for lots in (10_000, 8_000)
    )
    assert (much.code, less.code) == ("loss_limit_reached", None)
    assert less.trade.before.equity == 1_000 * USDC


@pytest.mark.parametrize(
    ("account", "limit", "left", "code"),
    [
        (4_000, 5, 5, "account_unknown"),
        (16, -2, 5, "bad_value"),
        (16, 5, -1, "bad_value"),
        (16, MONEY_MAX + 1, 5, "bad_value"),
    ],
)
def test_what_no_chain_shows_is_refused(world, account, limit, left, code):
    world.agent(1)
    assert world.refuse(c.SeeLossLimits(0, True, (c.LimitedSlot(account, limit, left, 0),))) == code


def test_the_exchanges_own_accounts_have_no_limit(world):
    world.play(c.CreditDeposit(INSURANCE, 100, "fund"))
    assert see(world, INSURANCE, 5) == []
