"""The flow from request to fill, case by case, to the micro-unit."""

import msgspec
import pytest

from core import events as e
from core.market import MarketStatus
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


@pytest.mark.parametrize(
    ("moved", "filled"), [(606_000, True), (606_001, False), (594_000, True), (593_999, False)]
)
def test_a_quote_is_void_once_the_index_left_the_band(world, moved, filled):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(600_000, 5_000)], [(600_100, 5_000)])
    world.index(1, moved)
    outcome = world.request(trader, "k", 1, 100, 601_000)
    assert (world.closed(outcome).outcome == "filled") is filled
    voided = [event for event in outcome if isinstance(event, e.QuoteRejected)]
    assert [event.code for event in voided] == ([] if filled else ["quote_out_of_band"])


def test_a_maker_that_cannot_pay_is_passed_over_and_recorded(world):
    poor, rich, trader = world.agent(1, deposit=1_000_000_000), world.agent(2), world.agent(3)
    world.quotes(poor, [], [(600_000, 5_000)])
    world.play(c.ReserveWithdrawal(poor, 900_000_000, "w"))
    world.quotes(rich, [], [(600_100, 5_000)])
    outcome = world.request(trader, "k", 1, 1_000, 601_000)
    assert world.closed(outcome).fills
    assert world.held(rich)[0] == -1_000
    rejected = next(event for event in outcome if isinstance(event, e.QuoteRejected))
    assert (rejected.account, rejected.code) == (poor, "maker_cannot_pay")


def test_answers_are_backed_to_the_micro_unit(world):
    asker, index, lots = world.agent(9), 600_000, 5_000
    required = index * lots * 10 // 50
    for number, (bid, ask, loss) in enumerate(
        [(index, 0, 0), (0, index, 0), (index + 7, 0, 7), (0, index - 7, 7), (index - 5, index + 7, -5)]
    ):
        needed = required + loss * lots * 10
        exact = world.agent(2 * number + 10, deposit=needed)
        short = world.agent(2 * number + 11, deposit=needed - 1)
        for maker in (exact, short):
            world.play(c.Subscribe(maker, (1,)))
        expires = world.now + SECOND
        request = world.opened(world.request(asker, f"k{number}", 1, 10, 601_000, auto=False)).request
        answer = c.AnswerRequest(short, request, bid, ask, lots, 1, expires)
        assert world.refuse(answer) == "insufficient_margin"
        world.play(c.AnswerRequest(exact, request, bid, ask, lots, 1, expires))


@pytest.mark.parametrize(
    "offsets",
    [
        ((0, 5_000), (1, 10)),
        ((-7, 5_000), (-6, 3_000), (0, 10)),
        ((5, 10), (7, 5_000)),
        ((-9, 400), (900, 10)),
    ],
    ids=["at the index", "losing", "gaining", "losing first"],
)
@pytest.mark.parametrize("side", [1, -1])
def test_quotes_are_backed_with_all_their_levels_to_the_micro_unit(world, side, offsets):
    """Offsets are ticks in the maker's favour from the index, best for a taker first."""
    levels = tuple((600_000 - side * offset, lots) for offset, lots in offsets)
    needed = taken = lost = 0
    for offset, lots in offsets:
        taken += lots
        lost -= offset * lots * 10
        needed = max(needed, taken * 600_000 * 10 // 50 + lost)
    exact, short = world.agent(1, deposit=needed), world.agent(2, deposit=needed - 1)
    sides = (levels, ()) if side > 0 else ((), levels)
    assert world.refuse(c.SetQuotes(short, 1, *sides, world.now + SECOND)) == "insufficient_margin"
    world.play(c.SetQuotes(exact, 1, *sides, world.now + SECOND))


def test_no_level_hides_behind_one_of_more_lots(world):
    """A spoof: a level far above the index, of one lot less than one below it, by somebody with the margin of the latter."""
    spoofer = world.agent(1, deposit=60_000_000)
    levels = ((620_000, 417), (599_000, 418))
    assert world.refuse(c.SetQuotes(spoofer, 1, levels, (), world.now + SECOND)) == "insufficient_margin"


def test_a_quote_that_only_reduces_needs_no_margin(world):
    rich, maker = world.agent(1, deposit=10**13), world.agent(2, deposit=1_300_000_000)
    world.quotes(rich, [], [(600_000, 10**6)])
    assert world.closed(world.request(maker, "k", 1, 10_000, 600_000)).outcome == "filled"
    world.play(c.CancelAll(rich))
    world.index(1, 595_000)
    world.quotes(maker, [], [(595_000, 10_000)])
    expires = world.now + SECOND
    assert world.refuse(c.SetQuotes(maker, 1, (), ((595_000, 20_001),), expires)) == "insufficient_margin"
    assert world.refuse(c.SetQuotes(maker, 1, ((594_000, 1),), (), expires)) == "insufficient_margin"
    assert [level.size for level in world.state.book.asks[1]] == [10_000]


def test_hollow_levels_disappear_when_a_request_goes_on_to_the_makers(world):
    hollow, sound, trader = world.agent(1, deposit=1_000_000_000), world.agent(2), world.agent(3)
    world.quotes(hollow, [], [(600_000, 5_000)])
    world.quotes(sound, [], [(600_100, 500)])
    world.play(c.Subscribe(sound, (1,)))
    world.play(c.ReserveWithdrawal(hollow, 999_000_000, "w"))
    outcome = world.request(trader, "k", 1, 1_000, 601_000)
    world.opened(outcome)
    rejected = [event for event in outcome if isinstance(event, e.QuoteRejected)]
    assert [(event.account, event.code) for event in rejected] == [(hollow, "maker_cannot_pay")]
    assert [level.account for level in world.state.book.asks[1]] == [sound]


def test_a_level_that_only_fails_after_fills_that_do_not_happen_stays(world):
    """Both levels could be honoured when they were set; half of the margin has been withdrawn since."""
    maker, trader = world.agent(1, deposit=1_300_000_000), world.agent(3)
    world.quotes(maker, [], [(600_000, 5_000), (600_001, 5_000)])
    world.play(c.ReserveWithdrawal(maker, 600_000_000, "w"))
    world.play(c.Subscribe(maker, (1,)))
    outcome = world.request(trader, "k", 1, 10_000, 601_000)
    assert outcome == [world.opened(outcome)]
    assert len(world.state.book.asks[1]) == 2


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


def test_cancels(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    request = world.opened(world.request(trader, "k", 1, 100, 601_000)).request
    assert world.refuse(c.CancelRequest(maker, request)) == "request_unknown"
    ended = world.closed(world.do(c.CancelRequest(trader, request)))
    assert ended.outcome == "cancelled"
    assert world.do(c.CancelRequest(trader, request)) == Repeated((ended,))
    assert (
        world.refuse(c.AnswerRequest(maker, request, 0, 600_100, 100, 1, world.now + SECOND))
        == "request_unknown"
    )


def test_cancel_all_pulls_requests_answers_and_standing_quotes(world):
    maker, other, trader = world.agent(1), world.agent(2), world.agent(3)
    for account in (maker, other):
        world.play(c.Subscribe(account, (1,)))
    world.quotes(maker, [(590_000, 10)], [])
    request = world.opened(world.request(trader, "k", 1, 100, 601_000)).request
    world.play(c.AnswerRequest(maker, request, 0, 600_100, 100, 1, world.now + SECOND))
    mine = world.opened(world.request(maker, "m", 1, 100, 601_000, auto=False)).request
    pulled = world.play(c.CancelAll(maker, "disconnected"))
    assert [type(event).__name__ for event in pulled] == ["RequestClosed", "QuoteWithdrawn", "QuotesPulled"]
    assert mine not in world.state.book.requests
    assert not world.state.book.requests[request].answers
    assert len(world.state.book.bids[1]) == 0
    assert world.play(c.CancelAll(maker)) == []


def test_the_dead_mans_switch_pulls_everything_unless_moved(world):
    maker = world.agent(1)
    world.quotes(maker, [(590_000, 10)], [])
    world.play(c.CancelAfter(maker, world.now + SECOND))
    world.play(c.CancelAfter(maker, world.now + 3 * SECOND))
    world.pass_time(2 * SECOND)
    assert len(world.state.book.bids[1]) == 1
    world.pass_time(SECOND)
    assert len(world.state.book.bids[1]) == 0


@pytest.mark.parametrize("step", [1, -1])
def test_a_switch_moved_again_and_again_has_one_deadline_and_fires_at_the_last(world, step):
    maker, other = world.agent(1), world.agent(2)
    world.quotes(maker, [(590_000, 10)], [])
    start = world.now
    world.play(c.CancelAfter(other, start + 30 * SECOND))
    for number in range(500):
        world.play(c.CancelAfter(maker, start + (1_000 + step * number) * SECOND // 50))
    book = world.state.book
    assert len(world.expiring()) + len(book.switch_deadlines) == 3
    last = start + (1_000 + step * 499) * SECOND // 50
    assert book.switch_deadlines[0][0] == min(last, start + 30 * SECOND)
    world.pass_time(last - start - 1)
    assert len(book.bids[1]) == 1
    world.pass_time(1)
    assert len(book.bids[1]) == 0
    world.play(c.CancelAfter(maker, world.now + SECOND))
    world.play(c.CancelAfter(maker, 0))
    assert maker not in book.switches
    world.pass_time(60 * SECOND)
    assert book.switch_deadlines == []


def test_quotes_replaced_again_and_again_share_a_deadline_and_expire_at_the_last(world):
    maker = world.agent(1)
    for step in range(1, 101):
        world.play(c.SetQuotes(maker, 1, ((599_900, 5),), (), world.now + step * SECOND // 2))
    assert len(world.expiring()) == 1
    world.pass_time(49 * SECOND)
    world.index(1, 600_000)
    assert (maker, 1) in world.state.book.standing
    world.play(c.SetQuotes(maker, 1, ((599_900, 5),), (), world.now + SECOND // 4))
    world.pass_time(SECOND // 4)
    assert (maker, 1) not in world.state.book.standing
    world.pass_time(60 * SECOND)
    assert world.expiring() == []
    assert world.state.book.standing_due == {}


def test_standing_quotes_expire(world):
    maker = world.agent(1)
    world.play(c.SetQuotes(maker, 1, ((590_000, 10),), (), world.now + SECOND))
    world.play(c.SetQuotes(maker, 1, ((590_001, 10),), (), world.now + 2 * SECOND))
    world.pass_time(SECOND)
    assert [level.price for level in world.state.book.bids[1]] == [590_001]
    world.pass_time(SECOND)
    assert len(world.state.book.bids[1]) == 0


@pytest.mark.parametrize(
    ("size", "net", "frozen"), [(100, 0, True), (101, 0, False), (1_000, 100, True), (1_000, 101, False)]
)
def test_maker_protection_pulls_quotes_and_freezes(world, size, net, frozen):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.SetProtection(maker, 1, SECOND, size, net, SECOND))
    world.quotes(maker, [(599_900, 500)], [(600_100, 500)])
    world.request(trader, "a", 1, 60, 601_000)
    world.request(trader, "b", 1, 40, 601_000)
    assert (len(world.state.book.asks[1]) == 0) is frozen
    if frozen:
        refused = world.refuse(c.SetQuotes(maker, 1, (), ((600_100, 1),), world.now + SECOND))
        assert refused == "maker_frozen"
        world.now += SECOND
        world.quotes(maker, [], [(600_100, 1)])


def test_protection_forgets_fills_outside_its_window(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.SetProtection(maker, 1, SECOND, 100, 0, SECOND))
    world.quotes(maker, [], [(600_100, 500)])
    world.request(trader, "a", 1, 60, 601_000)
    world.now += SECOND
    world.request(trader, "b", 1, 60, 601_000)
    assert len(world.state.book.asks[1]) == 1


def test_expires_after_refuses_a_late_command(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(600_100, 500)])
    assert world.request(trader, "a", 1, 60, 601_000, expires_after=world.now).code == "expired_command"
    assert world.closed(world.request(trader, "a", 1, 60, 601_000, expires_after=world.now + 1)).filled == 60


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
