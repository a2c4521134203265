"""A preview says what the fill then does: the same margin after it, and the same refusals."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.market import MarketStatus
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.preview import preview_trade
from matcher.rejections import Code, Rejection

INDEX = 600_000

SIZES = st.one_of(st.integers(1, 100_000), st.sampled_from([1, 3_000_000, 5_000_000]))
TRADES = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, -1]), SIZES, st.integers(-2_000, 2_000)),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(trades=TRADES, deposit=st.sampled_from([10**9, 10**11, 10**13, 10**14]))
def test_the_fill_does_what_its_preview_said(new_world, trades, deposit):
    world = new_world()
    trader = world.agent(1, deposit=deposit)
    account = world.state.accounts[trader]
    # Every trade has a maker of its own that holds nothing, as the preview supposes.
    for number, (market, side, size, away) in enumerate(trades):
        price = world.state.indexes[market].price + away
        previewed = preview_trade(world.state, account, market, side * size, price, world.now)
        assert previewed.trade.before.equity == world.state.margin_of(account).equity
        maker = world.agent(number + 2, deposit=10**14)
        level = [(price, size)]
        world.quotes(maker, [] if side > 0 else level, level if side > 0 else [], market)
        outcome = world.request(trader, f"k{number}", side, size, price, market=market)
        if previewed.code is not None:
            refused = outcome[-1].outcome if isinstance(outcome, list) else outcome.code.value
            assert refused == previewed.code.value
        else:
            assert outcome[-1].outcome == "filled"
            assert world.state.margin_of(account) == previewed.trade.after
            assert world.held(trader, market) == (previewed.trade.size, previewed.trade.cost)
        assert previewed.trade.allowed or previewed.code is not None
        world.play(c.CancelAll(maker))
        world.now += SECOND


@pytest.fixture
def pair(world):
    """A maker short and a trader long of a hundred lots of market 1."""
    maker, trader = world.agent(1, 10**13), world.agent(2, 10**13)
    world.quotes(maker, [], [(INDEX, 100)])
    world.request(trader, "k", 1, 100, INDEX)
    return maker, trader


def agrees(world, maker, trader, change, price=INDEX):
    """What a preview refuses a trade with, having seen the engine do the same with one that is quoted; None where it fills."""
    said = preview_trade(world.state, world.state.accounts[trader], 1, change, price, world.now).code
    side = 1 if change > 0 else -1
    level = [(price, abs(change))]
    quoted = world.do(
        c.SetQuotes(
            maker, 1, () if side > 0 else tuple(level), tuple(level) if side > 0 else (), world.now + SECOND
        )
    )
    outcome = (
        quoted
        if isinstance(quoted, Rejection)
        else world.request(trader, f"a{world.state.seq}", side, abs(change), price)
    )
    if isinstance(outcome, Rejection):
        assert said == outcome.code
    else:
        assert (said, world.closed(outcome).outcome) == (None, "filled")
    return said


@pytest.mark.parametrize(
    ("price", "code"), [(630_000, None), (630_001, Code.PRICE_OUT_OF_BAND), (700_000, Code.PRICE_OUT_OF_BAND)]
)
def test_nobody_trades_beyond_the_band(world, pair, price, code):
    assert agrees(world, *pair, 1, price) == code


@pytest.mark.parametrize(
    ("change", "code"), [(1, Code.MARKET_REDUCE_ONLY), (-101, Code.MARKET_REDUCE_ONLY), (-100, None)]
)
def test_a_market_that_only_reduces(world, pair, change, code):
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY))
    assert agrees(world, *pair, change) == code


@pytest.mark.parametrize("status", [MarketStatus.PAUSED, MarketStatus.OPEN])
def test_a_market_that_stands_still(world, pair, status):
    world.play(c.SetMarketStatus(1, status))
    assert agrees(world, *pair, 1) == (Code.MARKET_PAUSED if status == MarketStatus.PAUSED else None)


def test_a_size_for_which_there_is_no_room_has_a_code_though_a_part_of_it_fills(world, pair):
    world.play(c.SetLimits(1, open_interest_cap=104))
    maker, other = world.agent(3, 10**13), world.state.accounts[world.agent(4, 10**13)]
    said = preview_trade(world.state, other, 1, 5, INDEX, world.now)
    assert (said.code, said.trade.size) == (Code.OPEN_INTEREST_CAP, 5)
    world.quotes(maker, [], [(INDEX, 5)])
    assert world.closed(world.request(other.id, "part", 1, 5, INDEX)).filled == 4
    world.play(c.SetLimits(1, open_interest_cap=108))
    assert agrees(world, maker, other.id, 4) is None


def test_a_market_that_has_ended(world, pair):
    world.play(c.DelistMarket(1, force=True))
    assert agrees(world, *pair, 1) == Code.MARKET_SETTLED


def test_a_price_that_nobody_believes_enough(world, pair):
    world.index(1, INDEX, validity=Validity.STALE)
    assert agrees(world, *pair, -1) == Code.INDEX_UNAVAILABLE


def test_an_account_that_is_being_liquidated(world, pair):
    poor = world.agent(3, 1_300_000_000)
    world.quotes(pair[0], [], [(INDEX, 10_000)])
    world.request(poor, "k", 1, 10_000, INDEX)
    world.play(c.CancelAll(pair[0]))
    world.index(1, 592_500)
    world.play(c.Advance())
    assert poor in world.state.liquidations
    assert agrees(world, pair[0], poor, 1, 592_500) == Code.BEING_LIQUIDATED
