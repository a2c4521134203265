"""What bounds the fills of one request: how many there may be, and what a market that only reduces lets through."""

from core.market import MarketStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.limits import FILLS_BY_PRICE_MAX, FILLS_PER_REQUEST_MAX


def test_a_heap_of_tiny_levels_does_not_keep_a_request_from_the_levels_that_fill_it(world):
    deep, trader = world.agent(1), world.agent(2)
    for number in range(3, 7):
        world.quotes(world.agent(number), [], [(600_001 + level, 1) for level in range(20)])
    world.quotes(deep, [], [(600_500, 100_000)])
    answer = world.closed(world.request(trader, "k", 1, 1_000, 601_000, all_or_none=True))
    assert (answer.outcome, answer.filled, len(answer.fills)) == ("filled", 1_000, FILLS_BY_PRICE_MAX + 1)
    assert world.held(deep)[0] == FILLS_BY_PRICE_MAX - 1_000


def test_levels_that_bring_their_share_fill_a_request_by_price_until_its_fills_are_used_up(world):
    trader = world.agent(2)
    for number in range(3, 7):
        world.quotes(world.agent(number), [], [(600_001 + level, 20) for level in range(20)])
    answer = world.closed(world.request(trader, "k", 1, 1_000, 601_000))
    assert (answer.outcome, answer.filled, len(answer.fills)) == ("filled", 1_000, FILLS_PER_REQUEST_MAX)


def long_of_ten(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_000, 10)])
    assert world.closed(world.request(trader, "open", 1, 10, 600_000)).filled == 10
    world.play(c.Subscribe(maker, (1,)))
    return maker, trader


def test_two_requests_that_each_fit_the_position_do_not_turn_it_around_in_a_market_that_only_reduces(world):
    maker, trader = long_of_ten(world)
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY))
    asked = [world.opened(world.request(trader, key, -1, 10, 599_000)).request for key in "ab"]
    for request in asked:
        world.play(c.AnswerRequest(maker, request, 599_900, 0, 10, 1, world.now + SECOND))
    assert world.held(trader) == world.held(maker) == (0, 0)


def test_what_was_asked_before_a_market_only_reduced_opens_nothing_after(world):
    maker, trader = long_of_ten(world)
    automatic = world.opened(world.request(trader, "a", 1, 10, 601_000)).request
    chosen = world.opened(world.request(trader, "b", 1, 10, 601_000, auto=False)).request
    quote = world.play(c.AnswerRequest(maker, chosen, 0, 600_100, 10, 1, world.now + SECOND))[0].quote
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY))
    final = world.closed(world.play(c.AnswerRequest(maker, automatic, 0, 600_100, 10, 1, world.now + SECOND)))
    assert (final.outcome, final.filled) == ("market_reduce_only", 0)
    assert world.refuse(c.AcceptQuote(trader, chosen, quote)) == "market_reduce_only"
    assert world.held(trader)[0] == 10
