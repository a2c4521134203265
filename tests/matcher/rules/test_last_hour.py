"""Margin in the hour at whose average a market settles: what only the mark shows is not there, for nobody, and is no debt either."""

from decimal import Decimal

import pytest

from api.units import Markets
from api.views_margin import position
from core.events import MarkUpdated, RequestOpened
from core.liquidation_events import Deleveraged, LiquidationStarted, TakenOver
from core.quantities import SECOND
from core.settlement_price import MINUTE
from matcher import commands as c
from matcher.exiting import uncovered
from matcher.gates import below_zero
from matcher.preview import preview_trade

USDC = 1_000_000
LOTS = 10_000


@pytest.fixture
def ahead(world, ending):
    """An agent that is long in market 1, ten minutes before its end, with the mark ahead of the average."""
    maker, agent = world.agent(1, 10**13), world.agent(2)
    world.quotes(maker, [], [(603_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 603_000)
    ending(10 * MINUTE)
    world.index(1, 606_000)
    return agent


def test_who_is_asked_to_deleverage_has_no_more_than_its_market_would_settle_at(world, ahead, check_opposite):
    assert world.state.overstated(world.state.accounts[ahead]) > 0
    check_opposite(world.state)
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(ahead, 0, 0, 0),)))
    check_opposite(world.state)


def test_what_a_limit_keeps_back_pays_for_what_only_the_mark_shows(world, ahead):
    """Its owner has hundreds of times as much: that the average is behind makes no debt that keeps everybody's money in."""
    agent, state = ahead, world.state
    assert state.overstated(state.accounts[agent]) == 500 * USDC
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(agent, 0, 0, 0),)))
    assert state.margin_of(state.accounts[agent]).equity == 0
    assert below_zero(state) == []


def test_who_leaves_by_its_limit_gets_no_more_than_the_market_would_settle_at(world, ahead):
    agent, state = ahead, world.state
    world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(agent, 0, 0, 0),)))
    parts = []
    while not parts:
        happened = world.pass_time(SECOND)
        parts = [part for one in happened if isinstance(one, TakenOver | Deleveraged) for part in one.parts]
    assert [part.size for part in parts] == [LOTS]
    assert state.ends[1] < state.marks[1].value_per_lot
    assert parts[0].value <= LOTS * state.ends[1]


def test_an_average_that_moves_while_the_mark_stands_still_liquidates(world, ending):
    """Half an hour in which nobody knew the price counts for nothing, so what came before it counts for more."""
    maker, agent = world.agent(1, 10**13), world.agent(2, 3_000 * USDC)
    world.quotes(maker, [(600_000, LOTS)], [])
    world.request(agent, "short", -1, LOTS, 600_000)
    world.quotes(maker, [], [(300_000, LOTS)], market=2)
    world.request(agent, "long", 1, LOTS, 300_000, market=2)
    ending(50 * MINUTE)
    world.index(1, 540_000)
    world.index(2, 236_000)
    state = world.state
    assert state.span_of(1) == (540_000, 550_000)
    assert not [one for one in world.pass_time(0) if isinstance(one, LiquidationStarted)]
    world.now += 40 * MINUTE
    world.index(2, 236_000)
    world.index(1, 540_000)
    assert state.span_of(1) == (540_000, 568_571)
    started = [one.account for one in world.pass_time(0) if isinstance(one, LiquidationStarted)]
    assert started == [agent]


def test_what_only_the_mark_shows_is_not_free_to_leave_with(world, ahead):
    """An owner whose position would settle at less is closed for as anybody, at what a bidder would get back."""
    agent, state = ahead, world.state
    account = state.accounts[agent]
    maker = world.agent(3, 10**13)
    world.play(c.Subscribe(maker, (1,)))
    amount = state.worth_of(account).available
    world.play(c.RequestExit(agent, amount, world.now // SECOND))
    assert uncovered(state, state.exits[agent]) == state.overstated(account)
    (opened,) = [
        one
        for one in world.pass_time(0) + world.play(c.ReduceForExit(agent, 0))
        if isinstance(one, RequestOpened)
    ]
    assert opened.limit * 10 < state.ends[1]


@pytest.fixture
def short_of_money(world, ending):
    """An agent that is long in market 1 with 3,000 USDC, ten minutes before its end, with the mark ahead of the average."""
    maker, agent = world.agent(1, 10**13), world.agent(2, 3_000 * USDC)
    world.quotes(maker, [], [(600_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 600_000)
    ending(10 * MINUTE)
    world.index(1, 606_000)
    return agent


def test_the_liquidation_price_is_the_mark_at_which_it_would_start(world, short_of_money):
    state = world.state
    account = state.accounts[short_of_money]
    shown = position(state, Markets(state.markets)[1], account, state.margin_of(account))
    end = state.ends[1]
    assert end < state.marks[1].value_per_lot
    ticks = {
        name: int(Decimal(price) * 10)
        for name, price in (("last", shown.liquidation_price), ("zero", shown.bankruptcy_price))
    }
    for mark, liquidatable, owes in (
        (end // 10, False, False),
        (ticks["last"], False, False),
        (ticks["last"] - 1, True, False),
        (ticks["zero"], True, False),
        (ticks["zero"] - 1, True, True),
    ):
        world.record(MarkUpdated(world.now, 1, mark, 606_000, 0, 0))
        assert state.ends[1] == end
        risk = state.margin_of(account)
        assert (risk.liquidatable, risk.equity < 0) == (liquidatable, owes)


def test_a_preview_counts_what_would_be_settled(world, short_of_money):
    state, agent = world.state, short_of_money
    account, maker = state.accounts[agent], world.agent(3, 10**13)
    for lots in (1, LOTS // 3, LOTS):
        lots = min(lots, world.held(agent)[0])
        said = preview_trade(state, account, 1, -lots, 606_000, world.now)
        assert said.trade.before == state.margin_of(account)
        world.quotes(maker, [(606_000, lots)], [])
        filled = world.closed(world.request(agent, f"sell {lots}", -1, lots, 606_000))
        assert (said.code, filled.outcome) == (None, "filled")
        assert (said.trade.after, said.overstated) == (state.margin_of(account), state.overstated(account))


def test_nobody_opens_on_what_only_the_mark_shows(world, ending):
    """Who buys at what the market would settle at has not gained what the mark is ahead of it."""
    maker, agent = world.agent(1, 10**13), world.agent(2, 30_000 * USDC)
    world.quotes(maker, [], [(600_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 600_000)
    ending(10 * MINUTE)
    world.index(1, 630_000)
    price = world.state.ends[1] // 10
    poor, rich = world.agent(3, 10 * USDC), world.agent(4, 130 * USDC)
    bid = ((price, LOTS // 10),)
    assert world.refuse(c.SetQuotes(poor, 1, bid, (), world.now + SECOND)) == "insufficient_margin"
    world.quotes(rich, list(bid), [])
    assert world.closed(world.request(agent, "sell", -1, LOTS // 10, price)).outcome == "filled"
    assert world.held(rich)[0] == LOTS // 10
    assert not world.state.margin_of(world.state.accounts[rich]).liquidatable


def test_an_answer_at_the_mark_must_afford_what_it_would_settle_at(world, ending):
    """What the requirement alone leaves free does not pay for what the mark is ahead."""
    maker, agent, asked = world.agent(1, 10**13), world.agent(2, 30_000 * USDC), world.agent(3, 3_000 * USDC)
    world.quotes(maker, [], [(600_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 600_000)
    world.play(c.Subscribe(asked, (1,)))
    ending(10 * MINUTE)
    world.index(1, 630_000)
    mark = world.state.mark_price(1)
    assert mark - world.state.ends[1] // 10 > mark // 50
    size = (
        world.state.worth_of(world.state.accounts[asked]).available // world.state.conditions[1].most_per_lot
    )
    request = world.opened(world.request(agent, "sell", -1, LOTS, mark - 1_000, auto=False)).request
    answer = c.AnswerRequest(asked, request, mark, 0, size, 1, world.now + SECOND)
    assert world.refuse(answer) == "insufficient_margin"
    world.play(c.AnswerRequest(asked, request, mark, 0, size // 10, 1, world.now + SECOND))


def test_who_has_little_may_get_out_at_what_the_market_would_settle_at(world, ending):
    """Its equity counts the position for no more than that, so it loses nothing by it."""
    maker, agent = world.agent(1, 10**13), world.agent(2, 3_000 * USDC)
    world.quotes(maker, [], [(600_000, LOTS)])
    world.request(agent, "open", 1, LOTS, 600_000)
    ending(10 * MINUTE)
    world.index(1, 628_000)
    account = world.state.accounts[agent]
    world.play(c.ClaimExit(agent, world.state.margin_of(account).equity - 700 * USDC, "claim:agent:0"))
    assert not world.state.margin_of(account).may_open
    price = world.state.ends[1] // 10
    world.quotes(maker, [(price, LOTS)], [])
    before = world.state.margin_of(account).equity
    filled = world.closed(world.request(agent, "out", -1, LOTS // 2, price))
    assert filled.outcome == "filled"
    assert 0 <= before - world.state.margin_of(account).equity < 31 * USDC  # fee
