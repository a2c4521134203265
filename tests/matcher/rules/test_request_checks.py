"""What stops a request: margin, caps, what only reduces, a late command, an index or a market that does not allow it."""

import msgspec

from core import events as e
from core.market import MarketStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.rejections import Repeated


def test_margin_is_checked_at_its_edge(world):
    maker = world.agent(1, deposit=10**13)
    world.quotes(maker, [(600_000, 10**6)], [(600_000 + 1, 10**6)])
    size, price = 10_000, 600_001
    value, mark = price * size * 10, 600_000 * size * 10
    needed = -(-mark * 20_000 // 1_000_000) + -(-value * 500 // 1_000_000) + (value - mark)
    short, exact = world.agent(2, deposit=needed - 1), world.agent(3, deposit=needed)
    assert world.closed(world.request(short, "k", 1, size, 600_001)).outcome == "insufficient_margin"
    assert world.closed(world.request(exact, "k", 1, size, 600_001)).outcome == "filled"


def test_reducing_is_allowed_below_the_requirement_but_not_increasing(world):
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=1_300_000_000)
    world.quotes(maker, [(599_999, 10**6)], [(600_000, 10**6)])
    assert world.closed(world.request(trader, "open", 1, 10_000, 600_000)).outcome == "filled"
    world.index(1, 595_000)
    world.quotes(maker, [(594_999, 10**6)], [(595_000, 10**6)])
    assert world.request(trader, "more", 1, 10, 600_000).code == "insufficient_margin"
    assert world.closed(world.request(trader, "less", -1, 5_000, 590_000)).outcome == "filled"


def test_reduce_only_never_increases(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_900, 5_000)], [(600_100, 5_000)])
    assert world.request(trader, "a", 1, 10, 601_000, reduce_only=True).code == "reduce_only_would_increase"
    world.request(trader, "b", 1, 10, 601_000)
    assert world.request(trader, "c", -1, 11, 599_000, reduce_only=True).code == "reduce_only_would_increase"
    assert world.closed(world.request(trader, "d", -1, 10, 599_000, reduce_only=True)).outcome == "filled"
    assert world.held(trader) == (0, 0)


def test_a_position_cap_counts_all_accounts_of_an_owner(world):
    maker = world.agent(1, deposit=10**14)
    trader, sister = world.agent(2, deposit=10**13), world.agent(2, deposit=10**13, name="b")
    cap = world.state.markets[1].position_cap
    world.quotes(maker, [], [(600_000, 10 * cap)])
    assert world.closed(world.request(trader, "a", 1, cap - 10, 600_000)).outcome == "filled"
    assert world.request(sister, "b", 1, 11, 600_000).code == "position_cap"


def test_a_position_cap_holds_while_one_request_fills_against_several_accounts_of_an_owner(world):
    taker, first, second = world.agent(1), world.agent(2), world.agent(2, name="b")
    counterparty, cap = world.agent(3), 1_000
    world.play(c.ListMarket(msgspec.structs.replace(world.state.markets[1], position_cap=cap)))
    world.quotes(counterparty, [(600_000, cap)], [])
    assert world.closed(world.request(taker, "short", -1, cap, 600_000)).outcome == "filled"
    world.quotes(first, [], [(600_000, cap)])
    world.quotes(second, [], [(600_001, cap)])
    answer = world.closed(outcome := world.request(taker, "k", 1, 2 * cap, 601_000))
    assert (answer.outcome, answer.filled) == ("partial", cap)
    assert (world.held(first)[0], world.held(second)[0]) == (-cap, 0)
    rejected = next(event for event in outcome if isinstance(event, e.QuoteRejected))
    assert (rejected.account, rejected.code) == (second, "position_cap")


def test_open_interest_is_capped(world):
    cap = world.state.markets[1].open_interest_cap
    makers = [world.agent(number, deposit=10**14) for number in range(1, 4)]
    traders = [world.agent(number, deposit=10**14) for number in range(11, 14)]
    half = cap // 2
    for maker, trader, expected in zip(
        makers, traders, ("filled", "filled", "open_interest_cap"), strict=True
    ):
        world.quotes(maker, [], [(600_000, half)])
        assert world.closed(world.request(trader, "a", 1, half, 600_000)).outcome == expected
        world.quotes(maker, [], [])
    assert world.state.open_interest[1] == 2 * half


def test_expires_after_refuses_a_late_command(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    assert world.request(trader, "a", 1, 60, 601_000, expires_after=world.now).code == "expired_command"
    assert world.closed(world.request(trader, "a", 1, 60, 601_000, expires_after=world.now + 1)).filled == 60


def test_a_repeat_that_comes_late_still_gets_the_first_answer(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    until = world.now + SECOND
    first = world.closed(world.request(trader, "a", 1, 60, 601_000, expires_after=until))
    world.play(c.Subscribe(maker, (1,)))
    asked = world.opened(world.request(trader, "b", 1, 60, 600_000, ttl=5 * SECOND, expires_after=until))
    world.now = until
    assert world.request(trader, "a", 1, 60, 601_000, expires_after=until) == Repeated((first,))
    assert world.request(trader, "b", 1, 60, 600_000, ttl=5 * SECOND, expires_after=until) == Repeated(
        (asked,)
    )
    assert world.refuse(c.AcceptQuote(trader, asked.request, 1, until)) == "expired_command"
    assert world.do(c.AcceptQuote(trader, first.request, 1, until)) == Repeated((first,))
    assert world.request(trader, "c", 1, 60, 601_000, expires_after=until).code == "expired_command"
    assert world.held(trader)[0] == 60


def test_a_stale_or_uncertain_index_stops_fills(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    world.index(1, 600_000, confidence=12_001)
    assert world.request(trader, "a", 1, 60, 601_000).code == "index_unavailable"
    world.index(1, 600_000, confidence=12_000)
    world.now += world.state.markets[1].fill_max_age
    world.quotes(maker, [], [(600_100, 500)])
    assert world.closed(world.request(trader, "b", 1, 60, 601_000)).outcome == "filled"
    world.now += 1
    assert world.request(trader, "c", 1, 60, 601_000).code == "index_unavailable"


def test_a_paused_market_takes_nothing_and_a_reduce_only_one_lets_positions_shrink(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_900, 500)], [(600_100, 500)])
    world.request(trader, "a", 1, 60, 601_000)
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY))
    assert world.request(trader, "b", 1, 1, 601_000).code == "market_reduce_only"
    assert world.closed(world.request(trader, "c", -1, 60, 599_000)).outcome == "filled"
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    assert world.request(trader, "d", 1, 1, 601_000).code == "market_paused"
