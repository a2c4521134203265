"""What a firm quote must hold to at the fill, and how it ends: backing, band, expiry, cancels, protection."""

import pytest

from core import events as e
from core.quantities import SECOND
from matcher import commands as c
from matcher.rejections import Repeated


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


def test_a_net_size_alone_is_no_protection_and_none_ends_it(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.SetProtection(maker, 1, SECOND, 100, 100, SECOND))
    assert world.refuse(c.SetProtection(maker, 1, SECOND, 0, 100, SECOND)) == "bad_value"
    world.quotes(maker, [], [(600_100, 500)])
    world.play(c.SetProtection(maker, 1, SECOND, 0, 0, SECOND))
    world.request(trader, "a", 1, 400, 601_000)
    assert len(world.state.book.asks[1]) == 1


def test_protection_forgets_fills_outside_its_window(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.SetProtection(maker, 1, SECOND, 100, 0, SECOND))
    world.quotes(maker, [], [(600_100, 500)])
    world.request(trader, "a", 1, 60, 601_000)
    world.now += SECOND
    world.request(trader, "b", 1, 60, 601_000)
    assert len(world.state.book.asks[1]) == 1
