"""Limits that change while positions are open: what is held stays, what would grow is refused, nobody is liquidated by surprise."""

import msgspec
import pytest
from msgspec.structs import replace

from core import events as e
from core.funding import FundingTerms
from core.liquidation import LiquidationTerms
from core.liquidation_events import LiquidationSliced
from core.margin_terms import MarginTerms, Tier
from core.mark_price import MarkTerms
from core.market_limits import limits_of
from core.open_interest import WINDOW_MIN, JumpAlarm
from core.operator_events import EXCHANGE, LimitsSet
from core.quantities import SECOND, Ppm
from core.rates import PERCENT, Rate
from matcher import commands as c
from matcher.apply import apply
from matcher.decide_markets import list_market
from matcher.image import Image, dump, load


def opened(world, lots=100, deposit=10**11):
    """A maker short and a trader long of `lots` of market 1 at 60,000."""
    maker, trader = world.agent(1, 10**12), world.agent(2, deposit)
    world.quotes(maker, [], [(600_000, lots)])
    world.request(trader, "open", 1, lots, 600_000)
    assert world.held(trader)[0] == lots
    return maker, trader


def traded(world, maker, trader, side, lots):
    """The outcome of a request of the trader with quotes of the maker alone around it, or why it was refused."""
    for account, market in list(world.state.book.standing):
        world.play(c.SetQuotes(account, market, (), (), 0))
    world.quotes(maker, [(599_990, lots)], [(600_010, lots)])
    outcome = world.request(trader, f"k{world.state.seq}-{side}-{lots}", side, lots, 600_000 + side * 100)
    if isinstance(outcome, list):
        return next(event for event in outcome if isinstance(event, e.RequestClosed)).outcome
    return outcome.code


def test_a_change_keeps_the_rest_and_says_who_and_why(world):
    opened(world)
    before = world.state.markets[1]
    (said,) = world.play(c.SetLimits(1, position_cap=7, oracle_band=500, who="ada", why="thin books"))
    expected = replace(limits_of(before), position_cap=7, oracle_band=500)
    assert said == LimitsSet(world.now, 1, expected, False, "ada", "thin books")
    assert world.state.markets[1] == replace(before, position_cap=7, oracle_band=500)
    assert world.play(c.SetLimits(1, position_cap=7)) == []
    assert world.refuse(c.SetLimits(9, position_cap=7)) == "market_unknown"
    assert world.refuse(c.SetLimits(1, position_cap=0)) == "bad_value"
    assert (
        world.refuse(c.SetLimits(1, max_leverage=49, margin=MarginTerms((Tier(0, 20_000),)))) == "bad_value"
    )


def test_terms_of_before_a_bound_hold_up_no_other_change(world):
    lax = replace(
        limits_of(world.state.markets[1]), margin=MarginTerms((Tier(0, 20_000),), maintenance_share=50_000)
    )
    before = LimitsSet(world.now, 1, lax, False, "ada", "before there was a bound")
    apply(world.state, before)
    world.journal.append(before)
    assert world.refuse(c.SetLimits(1, margin=lax.margin)) == "bad_value"
    (said,) = world.play(c.SetLimits(1, position_cap=7))
    assert said.limits == replace(lax, position_cap=7)
    assert world.refuse(c.SetLimits(1, max_leverage=49)) == "bad_value"


def test_funding_of_before_its_bounds_holds_up_no_other_change(world):
    lax = FundingTerms(cap=Rate(50 * PERCENT), margin_factor=Ppm(9_000_000))
    listed = replace(limits_of(world.state.markets[1]), funding=lax)
    before = LimitsSet(world.now, 1, listed, False, "ada", "before there were bounds")
    apply(world.state, before)
    world.journal.append(before)
    assert world.refuse(c.SetLimits(1, funding=lax)) == "bad_value"
    (said,) = world.play(c.SetLimits(1, position_cap=7))
    assert said.limits == replace(listed, position_cap=7)
    assert world.state.markets[1].funding == lax


def test_a_position_cap_below_what_an_owner_holds_refuses_only_increases(world):
    maker, trader = opened(world, lots=100)
    world.play(c.SetLimits(1, position_cap=50))
    third = world.agent(3, 10**12)
    assert traded(world, third, trader, 1, 1) == "position_cap"
    assert traded(world, third, trader, -1, 10) == "filled"
    assert traded(world, third, trader, 1, 1) == "position_cap"
    assert traded(world, third, trader, -1, 40) == "filled"
    assert traded(world, maker, trader, 1, 1) == "position_cap"
    assert world.held(trader)[0] == 50


def test_beyond_a_lowered_cap_a_position_does_not_turn_into_one_beyond_it_on_the_other_side(world):
    _, trader = opened(world, lots=100)
    third, fourth = world.agent(3, 10**12), world.agent(4, 10**12)
    assert traded(world, third, fourth, -1, 90) == "filled"
    world.play(c.SetLimits(1, position_cap=60))
    assert traded(world, fourth, trader, -1, 161) == "position_cap"
    assert world.held(trader)[0] == 100
    world.play(c.SetLimits(1, position_cap=70))
    assert traded(world, fourth, trader, -1, 160) == "filled"
    assert (world.held(trader)[0], world.held(fourth)[0]) == (-60, 70)


def test_a_position_cap_counts_what_all_accounts_of_an_owner_hold(world):
    maker = world.agent(1, 10**12)
    one, other = world.agent(2, 10**11, "a"), world.agent(2, 10**11, "b")
    assert traded(world, maker, one, 1, 60) == "filled"
    world.play(c.SetLimits(1, position_cap=100))
    assert traded(world, maker, other, 1, 41) == "position_cap"
    assert traded(world, maker, other, 1, 40) == "filled"


def test_an_alarm_is_taken_away_in_words_of_its_own(world):
    """None leaves it as it is, as it does all other limits."""
    world.play(c.SetLimits(1, alarm=JumpAlarm(1_000, WINDOW_MIN)))
    world.play(c.SetLimits(1, position_cap=7))
    assert world.state.markets[1].alarm == JumpAlarm(1_000, WINDOW_MIN)
    assert world.refuse(c.SetLimits(1, alarm=JumpAlarm(1, WINDOW_MIN), no_alarm=True)) == "bad_value"
    (said,) = world.play(c.SetLimits(1, no_alarm=True))
    assert (said.limits.alarm, world.state.markets[1].alarm) == (None, None)
    assert world.play(c.SetLimits(1, no_alarm=True)) == []


def test_an_open_interest_cap_below_what_is_held_refuses_only_what_would_add_to_it(world):
    maker, trader = opened(world, lots=100)
    third = world.agent(3, 10**12)
    world.play(c.SetLimits(1, open_interest_cap=40))
    assert traded(world, third, trader, 1, 1) == "open_interest_cap"
    assert traded(world, third, trader, -1, 30) == "filled"
    assert world.state.open_interest[1] == 100
    assert traded(world, maker, trader, -1, 70) == "filled"
    assert world.state.open_interest[1] == 30
    assert traded(world, maker, trader, 1, 11) == "partial"
    assert world.state.open_interest[1] == 40
    assert traded(world, maker, trader, 1, 1) == "open_interest_cap"


def test_an_open_interest_cap_holds_to_the_lot(world):
    maker, trader = opened(world, lots=100)
    world.play(c.SetLimits(1, open_interest_cap=101))
    assert traded(world, maker, trader, 1, 2) == "partial"
    assert world.state.open_interest[1] == 101
    assert traded(world, maker, trader, 1, 1) == "open_interest_cap"


def test_at_the_open_interest_cap_whoever_closes_trades_past_offers_that_would_open(world):
    holder, trader = opened(world, lots=100)
    fresh, taker = world.agent(3, 10**12), world.agent(4, 10**12)
    world.play(c.SetLimits(1, open_interest_cap=100))
    # The trader is long, and sells ten to the taker; a new maker stands before it with what there is no room for.
    world.quotes(fresh, [], [(599_990, 1)])
    world.quotes(trader, [], [(600_000, 10)])
    answer = world.closed(world.request(taker, "a", 1, 10, 601_000))
    assert (answer.outcome, answer.filled) == ("filled", 10)
    assert (world.held(trader)[0], world.held(fresh)[0], world.held(taker)[0]) == (90, 0, 10)
    assert world.state.open_interest[1] == 100
    # Of an offer that closes in part, what closes and what there is room for.
    world.play(c.SetLimits(1, open_interest_cap=104))
    world.quotes(fresh, [], [])
    world.quotes(trader, [], [(600_000, 200)])
    answer = world.closed(world.request(holder, "b", 1, 200, 601_000))
    assert (answer.outcome, answer.filled) == ("partial", 194)
    assert world.state.open_interest[1] == 104


@pytest.mark.parametrize(
    ("min_fill", "more", "outcome", "filled"),
    [
        (1, {}, "partial", 4),
        (4, {}, "partial", 4),
        (5, {}, "open_interest_cap", 0),
        (1, {"all_or_none": True}, "open_interest_cap", 0),
    ],
)
def test_what_is_cut_to_the_open_interest_cap_keeps_to_the_least_that_either_side_takes(
    world, min_fill, more, outcome, filled
):
    opened(world, lots=100)
    maker, taker = world.agent(3, 10**12), world.agent(4, 10**12)
    world.play(c.SetLimits(1, open_interest_cap=104))
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(taker, "k", 1, 10, 601_000, **more)).request
    until = world.now + SECOND
    answer = world.closed(world.play(c.AnswerRequest(maker, request, 599_900, 600_100, 10, min_fill, until)))
    assert (answer.outcome, answer.filled) == (outcome, filled)


def test_an_accepted_quote_fills_as_far_as_the_open_interest_cap_lets_it(world):
    opened(world, lots=100)
    maker, taker = world.agent(3, 10**12), world.agent(4, 10**12)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(taker, "k", 1, 10, 601_000, auto=False)).request
    until = world.now + SECOND
    quote = world.play(c.AnswerRequest(maker, request, 599_900, 600_100, 10, 1, until))[0].quote
    world.play(c.SetLimits(1, open_interest_cap=100))
    assert world.refuse(c.AcceptQuote(taker, request, quote)) == "open_interest_cap"
    world.play(c.SetLimits(1, open_interest_cap=104))
    answer = world.closed(world.do(c.AcceptQuote(taker, request, quote)))
    assert (answer.outcome, answer.filled) == ("partial", 4)


def test_a_band_and_a_fee_bind_from_the_next_fill_on(world):
    maker, _ = opened(world)
    third, treasury = world.agent(3, 10**12), world.treasury
    world.quotes(maker, [], [(600_010, 10)])
    world.play(c.SetLimits(1, oracle_band=400, taker_fee=0))
    world.index(1, 600_241)
    assert world.request(third, "void", 1, 10, 601_000)[-1].outcome == "unfilled"
    world.quotes(maker, [], [(600_250, 10)])
    world.index(1, 600_481)
    world.request(third, "at its edge", 1, 10, 601_000)
    assert (world.held(third)[0], world.treasury) == (10, treasury)


def tighter(leverage):
    return MarginTerms((Tier(0, -(-1_000_000 // leverage)),))


def test_margin_terms_that_would_liquidate_somebody_need_force(world):
    _, trader = opened(world, lots=1_000, deposit=125_000_000_000 // 500)
    account = world.state.accounts[trader]
    assert world.state.margin_of(account).may_open
    refused = world.do(c.SetLimits(1, max_leverage=10, margin=tighter(10)))
    assert (refused.code, refused.message[:10]) == ("limits_would_liquidate", "1 accounts")
    assert world.play(c.SetLimits(1, max_leverage=40, margin=tighter(40)))[0].forced is False
    assert not world.state.margin_of(account).liquidatable
    assert world.play(c.SetLimits(1, max_leverage=10, margin=tighter(10), force=True))[0].forced is True
    assert world.state.margin_of(account).liquidatable
    assert world.play(c.SetLimits(1, max_leverage=5, margin=tighter(5)))[0].forced is False


def test_margin_terms_count_at_once(world):
    _, trader = opened(world)
    before = world.state.margin_of(world.state.accounts[trader])
    world.play(c.SetLimits(1, max_leverage=25, margin=tighter(25)))
    after = world.state.margin_of(world.state.accounts[trader])
    assert (after.initial, after.maintenance) == (2 * before.initial, 2 * before.maintenance)


def test_listing_anew_keeps_limits_that_an_operator_has_set(world):
    listed = replace(world.state.markets[1], id=3, symbol="NEW-PERP")
    world.play(c.ListMarket(listed))
    world.play(c.SetLimits(3, position_cap=7))
    assert world.play(c.ListMarket(listed)) == []
    other, decided = replace(listed, feed="other", position_cap=9), {"who": "ada", "why": "a new feed"}
    assert world.play(c.ListMarket(other, **decided)) == [
        e.MarketListed(world.now, replace(other, position_cap=7), **decided)
    ]
    assert dump(load(dump(world.state))) == dump(world.state)
    assert load(dump(world.state)).breakers.limited == {3}


def test_no_start_takes_back_what_an_operator_listed(world):
    """A release lists its defaults at every start; whoever decided otherwise has said why, and the record stays."""
    first = replace(world.state.markets[1], id=3, symbol="NEW-PERP")
    begins, starts = {"who": EXCHANGE}, {"who": EXCHANGE, "why": "another default of this release"}
    world.play(c.ListMarket(first, **begins))
    default = replace(first, taker_fee=first.taker_fee + 1)
    assert world.play(c.ListMarket(default, **starts)) == [e.MarketListed(world.now, default, **starts)]
    chosen = replace(first, position_cap=7)
    world.play(c.ListMarket(chosen, who="ada", why="ten times smaller"))
    for state in (world.state, load(dump(world.state))):
        assert (state.breakers.chosen, state.markets[3]) == ({3}, chosen)
    assert world.play(c.ListMarket(default, **starts)) == []
    assert world.play(c.ListMarket(default, **begins)) == []
    assert world.play(c.ListMarket(default, who="ada", why="the default, after all")) != []
    assert world.state.markets[3] == default


def test_after_an_image_that_does_not_know_who_listed_a_market_no_start_takes_it_back(world):
    first = replace(world.state.markets[1], id=3, symbol="NEW-PERP")
    world.play(c.ListMarket(first, who="ada", why="before it was kept"))
    image = msgspec.msgpack.decode(dump(world.state), type=Image)
    image.breakers.chosen = None
    older = load(msgspec.msgpack.encode(image))
    assert older.breakers.chosen == set(world.state.markets)
    default = c.ListMarket(replace(first, taker_fee=first.taker_fee + 1), who=EXCHANGE, why="a default")
    assert list_market(older, default, world.now) == []


MEANING = {"symbol": "XBT-PERP", "tick": "1", "lot": "0.001", "value_per_tick_lot": 100, "feed": "other"}


@pytest.mark.parametrize("name", MEANING)
def test_what_a_price_means_stays_once_there_was_one(world, name):
    """A standing quote at 600,100 ticks of 0.1 must never be one at 600,100 USD, nor a fill on record."""
    other = replace(world.state.markets[1], **{name: MEANING[name]})
    assert world.refuse(c.ListMarket(other)) == "market_in_use"
    new = replace(world.state.markets[1], id=3, symbol="NEW-PERP")
    world.play(c.ListMarket(new))
    world.now += SECOND
    maker = world.agent(1)
    early = c.SetQuotes(maker, 3, ((599_900, 5),), ((600_100, 5),), world.now + SECOND)
    assert world.refuse(early) == "index_unavailable"
    assert world.refuse(c.OpenRequest(maker, "early", 3, 1, 5, 600_100, SECOND)) == "index_unavailable"
    world.play(c.ListMarket(replace(new, **{name: MEANING[name]})))
    assert getattr(world.state.markets[3], name) == MEANING[name]
    world.index(3, 600_000)
    assert world.refuse(c.ListMarket(new)) == "market_in_use"
    world.play(c.ListMarket(replace(world.state.markets[3], oracle_band=9_000)))


def test_two_markets_never_share_a_symbol(world):
    assert world.refuse(c.ListMarket(replace(world.state.markets[1], id=3))) == "bad_value"


@pytest.mark.parametrize(
    "name", ["position_cap", "open_interest_cap", "taker_fee", "oracle_band", "max_leverage"]
)
def test_a_market_in_use_is_not_changed_by_listing_it(world, name):
    opened(world)
    listed = world.state.markets[1]
    assert world.refuse(c.ListMarket(replace(listed, **{name: getattr(listed, name) - 1}))) == "market_in_use"
    world.now += SECOND
    assert world.play(c.SetLimits(1, **{name: getattr(listed, name) - 1}))


TERMS = {
    "liquidation": LiquidationTerms(slice_share=500_000, fee=1_000),
    "funding": FundingTerms(interest=0),
    "index_max_age": 5 * SECOND,
    "greedy_deleveraging": True,
    "mark": MarkTerms(Ppm(2_000), Ppm(50)),
    "fill_max_age": 3 * SECOND,
}


@pytest.mark.parametrize("name", TERMS)
def test_every_term_can_change_while_positions_are_open(world, replayed, name):
    opened(world)
    before, value = world.state.markets[1], TERMS[name]
    (said,) = world.play(c.SetLimits(1, **{name: value}, who="ada", why="learnt something"))
    assert (said.who, said.why, getattr(said.limits, name)) == ("ada", "learnt something", value)
    assert world.state.markets[1] == replace(before, **{name: value})
    assert world.play(c.ListMarket(before)) == []
    assert dump(replayed(world.journal)) == dump(load(dump(world.state))) == dump(world.state)


def test_a_shorter_age_counts_at_once(world):
    maker, trader = opened(world)
    world.now += 6 * SECOND
    assert traded(world, maker, trader, 1, 1) == "filled"
    world.play(c.SetLimits(1, index_max_age=5 * SECOND))
    quotes = c.SetQuotes(maker, 1, ((599_990, 1),), (), world.now + SECOND)
    assert world.refuse(quotes) == "index_unavailable"
    world.index(1, 600_000)
    assert traded(world, maker, trader, 1, 1) == "filled"


def test_other_liquidation_terms_count_for_the_next_auction(world):
    _, trader = opened(world, lots=10_000, deposit=15 * 10**8)
    world.play(c.SetLimits(1, liquidation=LiquidationTerms(whole_up_to=0, slice_share=300_000)))
    world.index(1, 590_500)
    asked = [event.asked for event in world.pass_time(0) if isinstance(event, LiquidationSliced)]
    assert asked == [3_000]
    assert world.state.liquidations[trader].step == ""
