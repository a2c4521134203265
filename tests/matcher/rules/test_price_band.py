"""Nobody quotes or trades further from the index than the market's price band, at its edge to the tick."""

import pytest

from core import events as e
from core.quantities import SECOND
from matcher import commands as c

INDEX = 600_000
EDGE = INDEX * 50_000 // 1_000_000


@pytest.mark.parametrize("side", [1, -1])
def test_quotes_stand_up_to_the_edge_of_the_band(world, side):
    maker = world.agent(1)
    for away, refused in ((EDGE, False), (EDGE + 1, True)):
        level = ((INDEX - side * away, 1),)
        quotes = c.SetQuotes(
            maker, 1, level if side > 0 else (), () if side > 0 else level, world.now + SECOND
        )
        if refused:
            assert world.refuse(quotes) == "price_out_of_band"
        else:
            world.play(quotes)


@pytest.mark.parametrize(("bid", "ask"), [(INDEX - EDGE - 1, 0), (0, INDEX + EDGE + 1), (1, INDEX)])
def test_answers_beyond_the_band_are_refused(world, bid, ask):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 1, 10**9)).request
    answer = c.AnswerRequest(maker, request, bid, ask, 1, 1, world.now + SECOND)
    assert world.refuse(answer) == "price_out_of_band"


def test_a_losing_account_can_not_give_its_equity_to_a_friend(world):
    """At one lot for nothing a fill would move all of it; at the edge of the band it moves a twentieth of what is traded."""
    loser, friend = world.agent(1, deposit=1_000_000_000), world.agent(2)
    world.play(c.Subscribe(friend, (1,)))
    request = world.opened(world.request(loser, "gift", 1, 160, 10**9)).request
    for price in (INDEX * 10, INDEX + EDGE + 1):
        answer = c.AnswerRequest(friend, request, 0, price, 160, 1, world.now + SECOND)
        assert world.refuse(answer) == "price_out_of_band"
    outcome = world.play(c.AnswerRequest(friend, request, 0, INDEX + EDGE, 160, 1, world.now + SECOND))
    fill = next(event for event in outcome if isinstance(event, e.Filled))
    equity = world.state.margin_of(world.state.accounts[loser]).equity
    assert 1_000_000_000 - fill.fee - equity == 160 * EDGE * 10 == 160 * INDEX * 10 // 20


def test_a_quote_that_an_index_within_its_own_band_leaves_behind_fills_nothing(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(INDEX - EDGE, 100)], [])
    # The index may move by 1 % before a quote is void, but the price is now too far away.
    world.index(1, INDEX + INDEX // 200)
    outcome = world.request(trader, "k", -1, 10, 1)
    assert [event.code for event in outcome if isinstance(event, e.QuoteRejected)] == ["price_out_of_band"]
    assert not any(isinstance(event, e.Filled) for event in outcome)
    assert len(world.state.book.bids[1]) == 0


def test_an_operator_may_move_the_band_and_it_holds_at_once(world):
    maker = world.agent(1)
    world.play(c.SetLimits(1, price_band=10_000, why="calm"))
    quotes = c.SetQuotes(maker, 1, ((INDEX - EDGE, 1),), (), world.now + SECOND)
    assert world.refuse(quotes) == "price_out_of_band"
    for band in (0, 1_000_000):
        assert world.refuse(c.SetLimits(1, price_band=band, why="slip")) == "bad_value"
