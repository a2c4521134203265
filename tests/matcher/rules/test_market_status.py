"""What each status of a market lets happen, and that every change says who and why."""

import pytest
from msgspec.structs import replace

from core import events as e
from core.market import MarketStatus
from core.quantities import SECOND
from matcher import commands as c


def by(status, market=1):
    return c.SetMarketStatus(market, status, who="ada", why="a test")


def two_who_hold(world):
    """A maker short of ten lots, a trader long of ten, and a request of a third that waits for the maker."""
    maker, trader, third = world.agent(1), world.agent(2), world.agent(3)
    world.quotes(maker, [], [(600_100, 10)])
    world.request(trader, "open", 1, 10, 600_100)
    world.play(c.Subscribe(maker, (1,)))
    return maker, trader, third


def test_a_change_of_status_says_who_and_why(world):
    assert world.play(by(MarketStatus.REDUCE_ONLY)) == [
        e.MarketStatusSet(world.now, 1, MarketStatus.REDUCE_ONLY, "ada", "a test")
    ]
    assert world.play(by(MarketStatus.REDUCE_ONLY)) == []
    assert world.refuse(by(MarketStatus.OPEN, market=9)) == "market_unknown"


def test_a_pause_ends_requests_and_pulls_quotes_of_that_market_only(world):
    maker, trader, third = two_who_hold(world)
    world.quotes(maker, [(599_000, 5)], [(601_000, 5)])
    world.quotes(maker, [(299_000, 5)], [(301_000, 5)], market=2)
    asked = world.request(third, "waits", 1, 5, 600_500)[0].request
    answered = world.request(trader, "chosen", 1, 10, 601_000, auto=False)[0].request
    quote = world.play(c.AnswerRequest(maker, answered, 0, 600_500, 10, 1, world.now + SECOND))[0].quote
    world.play(c.Subscribe(maker, (1, 2)))
    elsewhere = world.request(third, "elsewhere", 1, 10, 300_000, market=2)[0].request
    events = world.play(by(MarketStatus.PAUSED))
    ends = {event.request: event.outcome for event in events if isinstance(event, e.RequestClosed)}
    assert ends == {asked: "market_paused", answered: "market_paused"}
    assert e.QuotesPulled(world.now, maker, 1, "market_paused") in events
    assert isinstance(events[-1], e.MarketStatusSet)
    book = world.state.book
    assert (len(book.bids[1]), len(book.asks[1]), len(book.bids[2])) == (0, 0, 1)
    assert set(book.standing) == {(maker, 2)}
    assert set(book.requests) == {elsewhere}
    world.play(by(MarketStatus.OPEN))
    assert world.do(c.AcceptQuote(trader, answered, quote)).events[0].outcome == "market_paused"
    assert world.held(trader)[0] == 10


@pytest.mark.parametrize("status", [MarketStatus.PAUSED, MarketStatus.SETTLED])
def test_nothing_is_asked_answered_or_quoted_in_a_market_that_stands_still(world, status):
    maker, trader, _ = two_who_hold(world)
    if status == MarketStatus.PAUSED:
        world.play(by(MarketStatus.PAUSED))
    else:
        world.play(c.DelistMarket(1, force=True))
    code = {MarketStatus.PAUSED: "market_paused", MarketStatus.SETTLED: "market_settled"}[status]
    for side in (1, -1):
        assert world.request(trader, f"k{side}", side, 1, 600_000 + side).code == code
        assert world.request(trader, f"r{side}", side, 1, 600_000 + side, reduce_only=True).code == code
    assert world.refuse(c.SetQuotes(maker, 1, ((599_000, 1),), (), world.now + SECOND)) == code
    world.play(c.SetQuotes(maker, 1, (), (), world.now + SECOND))


def test_withdrawals_stay_possible_while_a_market_is_paused(world):
    maker, trader, third = two_who_hold(world)
    world.play(by(MarketStatus.PAUSED))
    for account in (maker, trader, third):
        world.play(c.ReserveWithdrawal(account, 1_000_000, "out"))
    world.now += world.state.markets[1].index_max_age + 1
    assert world.refuse(c.ReserveWithdrawal(trader, 1_000_000, "again")) == "index_unavailable"
    world.index(1, 600_000)
    world.play(c.ReserveWithdrawal(trader, 1_000_000, "again"))


def test_a_market_is_settled_by_delisting_only_and_then_for_good(world):
    assert world.refuse(by(MarketStatus.SETTLED)) == "bad_value"
    world.play(c.DelistMarket(1, force=True))
    for status in (MarketStatus.OPEN, MarketStatus.REDUCE_ONLY, MarketStatus.PAUSED):
        assert world.refuse(by(status)) == "market_settled"
    assert world.play(by(MarketStatus.SETTLED)) == []
    assert world.refuse(c.UpdateIndex(1, 600_001, 0, world.now, "t")) == "market_settled"
    assert world.refuse(c.SetLimits(1, position_cap=5)) == "market_settled"
    listed = world.state.markets[1]
    assert world.play(c.ListMarket(listed)) == []
    assert world.refuse(c.ListMarket(replace(listed, feed="other"))) == "market_settled"


def asked(world, holding=0, **more):
    """A request for 100 lots, sold by who holds `holding`, that one maker was asked for, and what both are."""
    maker, trader = world.agent(1), world.agent(2)
    if holding:
        world.quotes(maker, [], [(600_000, holding)])
        assert world.closed(world.request(trader, "first", 1, holding, 600_000)).filled == holding
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", -1, 100, 599_000, **more)).request
    return maker, trader, request


def answered(world, maker, request, min_fill=1):
    """What the maker's answer leads to."""
    until = world.now + SECOND
    return world.play(c.AnswerRequest(maker, request, 599_900, 600_100, 100, min_fill, until))


def test_a_quote_that_a_market_no_longer_takes_is_refused_for_that_and_can_be_accepted_later(world):
    maker, trader, request = asked(world, auto=False)
    quote = answered(world, maker, request)[0].quote
    world.play(by(MarketStatus.REDUCE_ONLY))
    refused = world.do(c.AcceptQuote(trader, request, quote))
    assert (refused.code, refused.retryable) == ("market_reduce_only", True)
    world.play(by(MarketStatus.OPEN))
    assert world.closed(world.do(c.AcceptQuote(trader, request, quote))).outcome == "filled"


@pytest.mark.parametrize(
    ("holding", "more", "outcome", "filled"),
    [
        (0, {}, "market_reduce_only", 0),
        (40, {}, "partial", 40),
        (40, {"all_or_none": True}, "market_reduce_only", 0),
        (100, {"all_or_none": True}, "filled", 100),
    ],
)
def test_a_request_ends_for_the_reason_that_its_market_only_reduces_meanwhile(
    world, holding, more, outcome, filled
):
    maker, _, request = asked(world, holding, **more)
    world.play(by(MarketStatus.REDUCE_ONLY))
    final = world.closed(answered(world, maker, request))
    assert (final.outcome, final.filled) == (outcome, filled)


def test_nothing_offered_is_nothing_offered_also_where_a_market_only_reduces(world):
    _, _, request = asked(world, 40)
    world.play(by(MarketStatus.REDUCE_ONLY))
    final = world.closed(world.pass_time(2 * SECOND))
    assert (final.request, final.outcome) == (request, "unfilled")


def test_a_quote_for_more_than_may_be_reduced_is_refused_for_that(world):
    maker, trader, request = asked(world, 40, auto=False)
    quote = answered(world, maker, request, min_fill=41)[0].quote
    world.play(by(MarketStatus.REDUCE_ONLY))
    assert world.refuse(c.AcceptQuote(trader, request, quote)) == "market_reduce_only"


def test_a_reduce_only_request_whose_position_is_gone_ends_for_that(world):
    maker, trader, request = asked(world, 100, reduce_only=True)
    world.quotes(maker, [(600_000, 100)], [])
    assert world.closed(world.request(trader, "other", -1, 100, 600_000)).outcome == "filled"
    final = world.closed(answered(world, maker, request))
    assert (final.request, final.outcome, final.filled) == (request, "reduce_only_would_increase", 0)
