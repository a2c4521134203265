"""The flow from request to fill, case by case, to the micro-unit."""

from core import events as e
from core.quantities import MILLISECOND, SECOND
from matcher import commands as c
from matcher.limits import TTL_CLASSES
from matcher.rejections import Repeated


def test_standing_quotes_fill_at_once_best_price_first(world):
    maker, other, trader = world.agent(1), world.agent(2), world.agent(3)
    world.quotes(maker, [(599_900, 5_000)], [(600_200, 5_000)])
    world.quotes(other, [(599_800, 5_000)], [(600_100, 2_000)])
    answer = world.closed(world.request(trader, "k1", 1, 3_000, 600_500))
    assert (answer.outcome, answer.filled) == ("filled", 3_000)
    assert answer.value == (600_100 * 2_000 + 600_200 * 1_000) * 10
    assert world.held(trader) == (3_000, answer.value)
    assert world.held(other) == (-2_000, -600_100 * 2_000 * 10)
    fees = sum(
        -(-price * size * 10 * 500 // 1_000_000) for price, size in ((600_100, 2_000), (600_200, 1_000))
    )
    assert world.treasury == fees
    assert world.balance(trader) == 100_000_000_000 - fees


def test_opening_reducing_flipping_and_closing_realize_to_the_micro_unit(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(610_000, 100_000)], [(610_001, 100_000)])
    world.request(trader, "open", 1, 30, 620_000)
    assert world.held(trader) == (30, 610_001 * 30 * 10)
    world.quotes(maker, [(610_010, 100_000)], [(610_011, 100_000)])
    reduced = world.request(trader, "reduce", -1, 10, 600_000)
    fill = next(event for event in reduced if isinstance(event, e.Filled))
    assert fill.taker_realized == (610_010 - 610_001) * 10 * 10
    world.request(trader, "flip", -1, 50, 600_000)
    assert world.held(trader) == (-30, -610_010 * 30 * 10)
    world.request(trader, "close", 1, 30, 620_000)
    assert world.held(trader) == (0, 0)
    realized = (610_010 - 610_001) * 30 * 10 + (610_010 - 610_011) * 30 * 10
    assert world.balance(trader) + world.treasury == 100_000_000_000 + realized
    assert world.balance(maker) == 100_000_000_000 - realized


def test_makers_are_asked_and_the_best_answer_fills_when_all_have_spoken(world):
    good, bad, trader = world.agent(1), world.agent(2), world.agent(3)
    for maker in (good, bad):
        world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 1_000, 601_000))
    assert request.makers == (good, bad)
    expires = world.now + SECOND
    assert len(world.play(c.AnswerRequest(bad, request.request, 599_000, 600_500, 1_000, 1, expires))) == 1
    answer = world.closed(
        world.do(c.AnswerRequest(good, request.request, 599_500, 600_400, 1_000, 1, expires))
    )
    assert (answer.filled, answer.value) == (1_000, 600_400 * 1_000 * 10)
    assert world.held(bad) == (0, 0)


def test_a_pass_counts_as_having_spoken_and_withdraws_an_answer(world):
    good, bad, trader = world.agent(1), world.agent(2), world.agent(3)
    for maker in (good, bad):
        world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 1_000, 601_000)).request
    world.play(c.AnswerRequest(bad, request, 599_000, 600_100, 1_000, 1, world.now + SECOND))
    world.play(c.PassRequest(bad, request))
    answer = world.closed(world.do(c.AnswerRequest(good, request, 0, 600_400, 1_000, 1, world.now + SECOND)))
    assert world.held(good)[0] == -1_000
    assert answer.outcome == "filled"


def test_time_up_fills_what_was_quoted_and_ends_what_was_not(world):
    maker, silent, trader = world.agent(1), world.agent(2), world.agent(3)
    for account in (maker, silent):
        world.play(c.Subscribe(account, (1,)))
    first = world.opened(world.request(trader, "a", 1, 1_000, 601_000, ttl=TTL_CLASSES[0])).request
    world.opened(world.request(trader, "b", -1, 1_000, 599_000, ttl=TTL_CLASSES[0]))
    world.play(c.AnswerRequest(maker, first, 0, 600_400, 600, 1, world.now + SECOND))
    assert world.pass_time(249 * MILLISECOND) == []
    ended = [event for event in world.pass_time(1 * MILLISECOND) if isinstance(event, e.RequestClosed)]
    assert [(event.outcome, event.filled) for event in ended] == [("partial", 600), ("unfilled", 0)]


def test_ranking_price_then_all_or_none_then_tier_then_arrival(world):
    trader = world.agent(9)
    partial, whole, premium, late = (world.agent(number) for number in (1, 2, 3, 4))
    world.play(c.SetTier(premium, 1))
    for maker in (partial, whole, premium, late):
        world.play(c.Subscribe(maker, (1,)))

    def winner(key: str, minimums: dict[int, int], prices: dict[int, int]) -> int:
        request = world.opened(world.request(trader, key, 1, 100, 601_000)).request
        for maker, minimum in minimums.items():
            outcome = world.play(
                c.AnswerRequest(
                    maker, request, 0, prices.get(maker, 600_100), 100, minimum, world.now + SECOND
                )
            )
        return next(event.maker for event in outcome if isinstance(event, e.Filled))

    nobody = dict.fromkeys((partial, whole, premium, late), 1)
    assert winner("price", nobody, {late: 600_099}) == late
    assert winner("aon", {partial: 1, whole: 100, premium: 1, late: 1}, {}) == whole
    assert winner("tier", nobody, {}) == premium
    assert winner("arrival", {late: 1, whole: 1, partial: 1, premium: 1}, {premium: 600_200}) == late


def test_all_or_none_fills_whole_or_not_at_all(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    answer = world.closed(world.request(trader, "k", 1, 501, 601_000, all_or_none=True))
    assert (answer.outcome, answer.filled) == ("unfilled", 0)
    assert world.closed(world.request(trader, "k2", 1, 500, 601_000, all_or_none=True)).filled == 500


def test_partial_takes_what_stands_when_no_maker_can_be_asked(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    assert world.closed(world.request(trader, "k", 1, 501, 601_000)).outcome == "partial"


def test_a_minimum_fill_is_honoured(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 100, 601_000)).request
    answer = world.closed(world.do(c.AnswerRequest(maker, request, 0, 600_100, 200, 101, world.now + SECOND)))
    assert answer.outcome == "unfilled"


def test_the_trader_accepts_a_quote_itself(world):
    maker, trader, stranger = world.agent(1), world.agent(2), world.agent(3)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 100, 600_500, auto=False)).request
    given = world.play(c.AnswerRequest(maker, request, 599_000, 600_100, 100, 1, world.now + SECOND // 2))[0]
    assert world.refuse(c.AcceptQuote(stranger, request, given.quote)) == "request_unknown"
    assert world.refuse(c.AcceptQuote(trader, request, given.quote + 1)) == "quote_unknown"
    answer = world.closed(world.do(c.AcceptQuote(trader, request, given.quote)))
    assert answer.filled == 100
    assert world.do(c.AcceptQuote(trader, request, given.quote)) == Repeated((answer,))


def test_an_expired_or_too_dear_quote_is_not_accepted(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 100, 600_500, auto=False)).request
    dear = world.play(c.AnswerRequest(maker, request, 0, 600_501, 100, 1, world.now + SECOND // 2))[0]
    assert world.refuse(c.AcceptQuote(trader, request, dear.quote)) == "quote_beyond_limit"
    fair = world.play(c.AnswerRequest(maker, request, 0, 600_500, 100, 1, world.now + SECOND // 2))[0]
    world.now += SECOND // 2
    assert world.refuse(c.AcceptQuote(trader, request, fair.quote)) == "quote_expired"


def test_the_same_key_returns_the_first_answer_and_another_payload_conflicts(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 5_000)])
    answer = world.closed(world.request(trader, "k", 1, 100, 601_000))
    assert world.request(trader, "k", 1, 100, 601_000) == Repeated((answer,))
    for other in (
        {"size": 101},
        {"limit": 601_001},
        {"side": -1},
        {"reduce_only": True},
        {"ttl": TTL_CLASSES[0]},
    ):
        fields = {"side": 1, "size": 100, "limit": 601_000, **other}
        assert world.request(trader, "k", **fields).code == "key_conflict"
    assert world.held(trader)[0] == 100


def test_an_open_request_repeats_too(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 100, 601_000))
    assert world.request(trader, "k", 1, 100, 601_000) == Repeated((request,))
    assert world.request(trader, "k", 1, 100, 600_999).code == "key_conflict"


def test_nobody_trades_with_its_own_owner(world):
    trader, sister = world.agent(1), world.agent(1, name="b")
    world.quotes(sister, [], [(600_100, 5_000)])
    world.play(c.Subscribe(sister, (1,)))
    answer = world.closed(world.request(trader, "k", 1, 100, 601_000))
    assert (answer.outcome, answer.filled) == ("unfilled", 0)
