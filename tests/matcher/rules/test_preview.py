"""A preview says what the fill then does: the same margin after it, and the same refusals."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.quantities import SECOND
from matcher import commands as c
from matcher.preview import preview_trade

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
