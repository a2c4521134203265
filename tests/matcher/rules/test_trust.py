"""What each validity of an index stops in the engine, action by action, and that it goes on when the index is believed again."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.events import Filled, IndexUpdated, QuoteRejected
from core.quantities import SECOND
from core.validity import Action, Validity, allowed, believed
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.limits import SETTLEMENT_PATIENCE
from matcher.preview import preview_trade
from matcher.rejections import Code, Rejection
from matcher.trust import trusted, validity

VALIDITIES = st.sampled_from(Validity)
DOUBTS = [one for one in Validity if one is not Validity.VALID]


@pytest.fixture
def trading(new_world):
    """A maker and a trader who hold positions in market 2, and somebody who holds nothing."""
    world = new_world()
    world.maker, world.trader, world.idle = world.agent(1), world.agent(2), world.agent(3)
    world.quotes(world.maker, [(299_900, 500)], [(300_100, 500)], market=2)
    world.request(world.trader, "open", 1, 100, 301_000, market=2)
    assert world.held(world.trader, 2)[0] == 100
    return world


def fill(world, account: int, key: str, side: int = 1, size: int = 10, market: int = 1) -> str:
    """Have a maker without other positions quote, and trade with it; returns "" or the code of the refusal."""
    price = world.state.indexes[market].price
    until = world.now + 5 * SECOND
    world.do(c.SetQuotes(world.idle, market, ((price - 1, 10_000),), ((price + 1, 10_000),), until))
    answer = world.request(account, key, side, size, price + side * 1_000, market=market)
    if isinstance(answer, Rejection):
        return answer.code.value
    assert any(isinstance(event, Filled) for event in answer)
    return ""


def tried(world, doubted: int, tag: str) -> set[Action]:
    """Actions that the engine takes now at the index of market `doubted`."""
    taken = set()
    if not fill(world, world.trader, f"fill {tag}", market=doubted):
        taken.add(Action.FILL)
    if not isinstance(world.do(c.ReserveWithdrawal(world.trader, 1, f"withdrawal {tag}")), Rejection):
        world.play(c.FinishWithdrawal(world.state.last_withdrawal, False, ""))
        taken.add(Action.MARGIN)
    batch = world.state.cut.batch + 1 if world.state.cut else 1
    if not isinstance(world.do(c.CutSettlement(batch)), Rejection):
        world.finalize(batch)
        taken.add(Action.SETTLE)
    # Liquidation and funding ask this and nothing else.
    taken |= {one for one in (Action.LIQUIDATE, Action.FUND) if trusted(world.state, doubted, one, world.now)}
    return taken


@pytest.mark.parametrize("doubt", Validity, ids=lambda one: one.code)
def test_each_validity_stops_its_actions_and_no_others_until_it_is_over(trading, doubt):
    trading.index(2, 300_000, validity=doubt)
    assert tried(trading, 2, "during") == {action for action in Action if allowed(doubt, action)}
    trading.now += SECOND
    trading.index(2, 300_000)
    assert tried(trading, 2, "after") == set(Action)


@pytest.mark.parametrize("doubt", Validity, ids=lambda one: one.code)
def test_whoever_holds_what_can_not_be_valued_only_gets_out_of_the_rest(trading, doubt):
    world, known = trading, allowed(doubt, Action.MARGIN)
    assert fill(world, world.trader, "before") == ""
    world.index(2, 300_000, validity=doubt)
    assert fill(world, world.trader, "more") == ("" if known else "index_unavailable")
    assert fill(world, world.trader, "less", side=-1, size=10) == ""
    beyond = world.held(world.trader)[0] + 1
    assert fill(world, world.trader, "over", side=-1, size=beyond) == ("" if known else "index_unavailable")
    assert fill(world, world.agent(4), "nothing held") == ""


@pytest.mark.parametrize("doubt", Validity, ids=lambda one: one.code)
def test_a_maker_that_can_not_be_valued_neither_quotes_nor_fills_and_keeps_its_record_clean(trading, doubt):
    world, known, other = trading, allowed(doubt, Action.MARGIN), trading.agent(4)
    world.quotes(world.maker, [(599_990, 500)], [(600_010, 500)])
    world.play(c.Subscribe(world.maker, (1,)))
    opened = world.request(other, "asks", 1, 600, 601_000)[0]
    world.index(2, 300_000, validity=doubt)
    again = world.do(c.SetQuotes(world.maker, 1, ((599_990, 9),), ((600_010, 9),), world.now + SECOND))
    answer = world.do(
        c.AnswerRequest(world.maker, opened.request, 599_990, 600_010, 600, 1, world.now + SECOND)
    )
    for outcome in (answer, again):
        assert isinstance(outcome, Rejection) is not known
        if not known:
            assert doubt.code in outcome.message
            assert "ETH-PERP" in outcome.message
    if not known:
        closed = world.request(other, "takes", 1, 100, 601_000)
        assert not [event for event in closed if isinstance(event, Filled | QuoteRejected)]
        assert len(world.state.book.ladder(1, 1)) == 1


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda one: one.code)
def test_refusals_name_the_validity_and_may_be_repeated(trading, doubt):
    trading.index(2, 300_000, validity=doubt)
    commands = {
        Action.FILL: c.OpenRequest(trading.idle, "k", 2, 1, 1, 301_000, SECOND),
        Action.MARGIN: c.ReserveWithdrawal(trading.trader, 1, "w"),
        Action.SETTLE: c.CutSettlement(1),
    }
    for action, command in commands.items():
        if not allowed(doubt, action):
            refused = trading.do(command)
            assert (refused.code, refused.retryable) == ("index_unavailable", True)
            assert f"ETH-PERP is {doubt.code}" in refused.message


def test_a_silent_feed_is_unavailable_once_its_last_word_is_too_old(trading):
    world = trading
    age = world.state.markets[2].index_max_age
    world.index(2, 300_000, validity=Validity.AGED)
    world.now += age
    assert validity(world.state, 2, world.now) is Validity.AGED
    world.index(1, 600_000)
    world.now += 1
    assert validity(world.state, 2, world.now) is Validity.UNAVAILABLE
    assert tried(world, 2, "silent") == set()
    assert tried(world, 1, "the other") == {Action.LIQUIDATE, Action.FUND}
    world.index(2, 300_000)
    assert tried(world, 2, "again") == set(Action)


def test_one_dead_feed_holds_settlement_up_for_an_hour_and_no_longer(trading, replayed):
    world = trading
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.now += SETTLEMENT_PATIENCE
    world.index(1, 610_000)
    mark = world.state.mark_price(2)
    assert world.refuse(c.CutSettlement(2)) == "index_unavailable"
    world.now += 1
    world.index(1, 610_000)
    (cut,) = world.play(c.CutSettlement(2))
    assert dict(cut.marks) == {1: world.state.mark_price(1), 2: mark}
    assert sum(world.state.cut.deltas.values()) == 0
    world.finalize(2)
    assert world.refuse(c.CutSettlement(3)) == "index_unavailable"
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_a_silent_feed_is_believed_for_trading_for_two_of_its_intervals(trading):
    """Whoever sees the market elsewhere would trade for a minute at the price of before."""
    world = trading
    world.now += world.state.markets[2].fill_max_age
    world.index(1, 600_000)
    assert fill(world, world.trader, "in time", market=2) == ""
    world.now += 1
    assert validity(world.state, 2, world.now) is Validity.AGED
    assert tried(world, 2, "late") == {action for action in Action if allowed(Validity.AGED, action)}
    assert fill(world, world.trader, "the other", market=1) == ""
    world.index(2, 300_000, validity=Validity.UNCERTAIN)
    world.now += world.state.markets[2].fill_max_age + 1
    assert validity(world.state, 2, world.now) is Validity.UNCERTAIN
    world.index(2, 300_000)
    assert tried(world, 2, "again") == set(Action)


def test_a_price_that_nobody_believes_moves_neither_index_nor_mark(trading):
    world = trading
    world.play(c.CancelAll(world.maker))
    for maker in (world.idle, world.maker):
        world.quotes(maker, [(300_300, 2_000)], [(300_500, 2_000)], market=2)
    world.now += 30 * SECOND
    world.index(2, 300_100)
    mark, index = world.state.mark_price(2), world.state.indexes[2]
    assert mark != index.price
    for doubt in (one for one in Validity if not believed(one)):
        world.now += SECOND
        (held,) = world.play(c.UpdateIndex(2, 900_000, 7, world.now, "liar", doubt))
        assert held == IndexUpdated(world.now, 2, 300_100, 0, world.now, "test", doubt, True)
        assert world.state.mark_price(2) == mark
        assert load(dump(world.state)).mark_price(2) == mark
    world.play(c.UpdateIndex(2, 0, 0, world.now, "", Validity.UNAVAILABLE))
    assert world.state.indexes[2].price == index.price


def test_doubt_in_the_last_price_makes_no_later_judgement_better(trading):
    trading.index(2, 300_000, confidence=6_001)
    assert validity(trading.state, 2, trading.now) is Validity.UNCERTAIN
    trading.index(2, 300_000, validity=Validity.DISPUTED)
    assert validity(trading.state, 2, trading.now) is Validity.DISPUTED


def test_who_can_not_be_valued_still_quotes_what_shrinks_its_position(trading):
    world = trading
    assert fill(world, world.trader, "long", size=100) == ""
    world.index(2, 300_000, validity=Validity.STALE)
    until = world.now + SECOND
    world.play(c.SetQuotes(world.trader, 1, (), ((601_000, 100),), until))
    assert world.refuse(c.SetQuotes(world.trader, 1, (), ((601_000, 101),), until)) == "index_unavailable"
    assert world.refuse(c.SetQuotes(world.trader, 1, ((599_000, 1),), (), until)) == "index_unavailable"


def test_a_preview_says_what_can_not_be_traded_and_what_can_not_be_valued_elsewhere(trading):
    state, account = trading.state, trading.state.accounts[trading.trader]
    trading.index(2, 300_000, validity=Validity.STALE)
    codes = [
        preview_trade(state, account, market, change, price, trading.now).code
        for market, change, price in ((1, 10, 600_000), (2, 10, 300_000), (2, -100, 300_000))
    ]
    # Nobody trades at an old index, whatever it does to his position.
    assert codes == [Code.INDEX_UNAVAILABLE] * 3


def test_nothing_is_recorded_before_the_first_price_that_is_believed(new_world):
    world = new_world()
    world.play(c.ListMarket(replace(world.state.markets[1], id=3, symbol="SOL-PERP")))
    assert world.play(c.UpdateIndex(3, 600_000, 0, world.now, "t", Validity.DISPUTED)) == []
    assert validity(world.state, 3, world.now) is Validity.UNAVAILABLE
    world.play(c.UpdateIndex(3, 600_000, 0, world.now, "t", Validity.UNCERTAIN))
    assert validity(world.state, 3, world.now) is Validity.UNCERTAIN


def test_markets_that_nobody_holds_do_not_hold_up_settlement(trading):
    trading.index(1, 600_000, validity=Validity.DISPUTED)
    trading.play(c.CutSettlement(1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=VALIDITIES, other=VALIDITIES, confidence=st.sampled_from([0, 5_999, 6_001, 12_000]))
def test_a_worse_judgement_or_a_wider_doubt_never_allows_more(new_world, one, other, confidence):
    worse, better = sorted((one, other), key=lambda validity: validity.rank)
    taken = []
    for judged, doubt in ((worse, confidence), (better, confidence), (worse, 0)):
        world = new_world()
        world.maker, world.trader, world.idle = world.agent(1), world.agent(2), world.agent(3)
        world.quotes(world.maker, [(299_900, 500)], [(300_100, 500)], market=2)
        world.request(world.trader, "open", 1, 100, 301_000, market=2)
        world.index(2, 300_000, doubt, judged)
        taken.append(tried(world, 2, "now"))
    assert taken[0] <= taken[1]
    assert taken[0] <= taken[2]
