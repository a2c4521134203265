"""Attacks on the mark, and the numbers that bound what they reach: half a percent, a ten-thousandth per second, two owners."""

import pytest

from core.liquidation_events import LiquidationStarted
from core.quantities import SECOND
from matcher import commands as c

INDEX = 600_000
BOUND = INDEX // 200
STEP = INDEX // 10_000
"""Ticks that the mark may come closer to its views in a second."""
DEEP = 20_000
"""Lots: 120,000 USDC of a depth of 25,000."""
TICK = SECOND // 2


@pytest.fixture
def victim(world):
    """An account with a short position of 48,000 USDC and a leverage of 4.8, opened with a maker that stands no more."""
    maker, victim = world.agent(50, 10**13), world.agent(60, 10_000_000_000)
    world.quotes(maker, [(INDEX - 100, DEEP)], [(INDEX + 100, DEEP)])
    world.request(victim, "short", -1, 8_000, INDEX - 1_000)
    world.play(c.CancelAll(maker))
    return victim


def indexed(world, price=INDEX, nanos=TICK):
    """The market's mark at an index price so much later."""
    world.now += nanos
    world.index(1, price)
    events = world.pass_time(0)
    assert not any(isinstance(event, LiquidationStarted) for event in events)
    return world.state.mark_price(1)


def printed(world, buyer, seller, price):
    """A last price of one lot that two friends make."""
    world.play(c.Subscribe(seller, (1,)))
    opened = world.opened(world.request(buyer, "print", 1, 1, price))
    world.play(c.AnswerRequest(seller, opened.request, 0, price, 1, 1, world.now + 5 * SECOND))


@pytest.mark.parametrize("lots", [1, 2_082])
def test_one_owner_alone_makes_no_mark_however_much_it_quotes_and_prints(world, victim, lots):
    one, other = world.agent(70, 10**13, "a"), world.agent(70, 10**13, "b")
    printed(world, world.agent(71), one, INDEX + BOUND)
    for _ in range(100):
        for liar in (one, other):
            world.quotes(liar, [(INDEX + 20_000, lots)], [(INDEX + 20_001, lots)])
        assert indexed(world) == INDEX


def test_quotes_of_one_lot_make_no_mark_whosever_they_are(world, victim):
    liars = [world.agent(70 + number) for number in range(4)]
    for _ in range(100):
        for liar in liars:
            world.quotes(liar, [(INDEX + 20_000, 1)], [(INDEX + 20_001, 1)])
        assert indexed(world) == INDEX


def test_two_owners_with_all_the_money_move_the_mark_by_half_a_percent_a_ten_thousandth_per_second(
    world, victim
):
    liars = [world.agent(70, 10**13), world.agent(71, 10**13)]
    equity = world.state.margin_of(world.state.accounts[victim]).equity
    before = INDEX
    for number in range(1, 601):
        for liar in liars:
            world.quotes(liar, [(INDEX + 25_000, DEEP)], [(INDEX + 25_010, DEEP)])
        mark = indexed(world)
        assert mark - before <= STEP * TICK // SECOND
        assert mark - INDEX <= min(BOUND, STEP * number * TICK // SECOND)
        before = mark
    # Three times the window of the average: it is all the way there.
    assert mark > INDEX + BOUND * 4 // 5
    lost = equity - world.state.margin_of(world.state.accounts[victim]).equity
    assert 0 < lost <= 8_000 * INDEX * 10 // 200


def test_whoever_crosses_honest_quotes_with_less_than_they_hold_is_not_heard(world, victim):
    honest, liars = [world.agent(80), world.agent(81)], [world.agent(70), world.agent(71)]
    for _ in range(400):
        for maker in honest:
            world.quotes(maker, [(INDEX - 10, DEEP)], [(INDEX + 10, DEEP)])
        for liar in liars:
            world.quotes(liar, [(INDEX + 2_900, DEEP // 3)], [(INDEX + 2_910, DEEP)])
        assert indexed(world) == INDEX


def test_quotes_that_the_band_has_voided_make_no_mark(world):
    for maker in (world.agent(80), world.agent(81)):
        world.quotes(maker, [(INDEX - 10, DEEP)], [(INDEX + 10, DEEP)])
    for _ in range(50):
        assert indexed(world, INDEX * 9 // 10) == INDEX * 9 // 10


def test_levels_that_their_maker_could_not_honour_make_no_mark(world):
    liars = [world.agent(70, 3_000_000_000), world.agent(71, 3_000_000_000)]
    other = world.agent(90, 10**13)
    for liar in liars:
        world.quotes(liar, [(INDEX + 500, DEEP)], [(INDEX + 510, DEEP)])
    indexed(world)
    assert world.state.mark_records[1].makers == tuple(liars)
    # 30,000 USDC of ETH take half of the margin that each has; its quotes of BTC ask for four fifths of it.
    world.quotes(other, [(299_990, 20_000)], [(300_000, 20_000)], market=2)
    for liar in liars:
        world.request(liar, "eth", 1, 10_000, 300_000, market=2)
        assert world.held(liar, 2)[0] == 10_000
    indexed(world, nanos=10 * SECOND)
    indexed(world, nanos=10 * SECOND)
    assert 1 not in world.state.mark_records


def test_a_mark_whose_quotes_are_pulled_goes_to_the_index_step_by_step(world, replayed):
    makers = [world.agent(80), world.agent(81)]
    for _ in range(600):
        for maker in makers:
            world.quotes(maker, [(INDEX + 2_900, DEEP)], [(INDEX + 3_000, DEEP)])
        mark = indexed(world)
    for maker in makers:
        world.play(c.CancelAll(maker))
    world.state = replayed(world.journal)
    world.play(c.StartEpoch())
    seconds = 0
    while mark != INDEX:
        before, mark = mark, indexed(world, nanos=SECOND)
        assert before - mark == min(STEP, before - INDEX)
        seconds += 1
    assert 40 <= seconds <= 50
    # It is the index, and nothing more is to be recorded.
    indexed(world)
    assert 1 not in world.state.mark_records


def test_what_comes_after_a_silence_catches_up_no_more_than_five_seconds_of_it(world):
    makers = [world.agent(80), world.agent(81)]
    for maker in makers:
        world.quotes(maker, [(INDEX + 2_900, DEEP)], [(INDEX + 3_000, DEEP)])
    world.now += 59 * SECOND
    assert indexed(world, nanos=0) <= INDEX + 5 * STEP


def test_the_mark_never_stays_behind_an_index_that_falls(world):
    for maker in (world.agent(80), world.agent(81)):
        world.quotes(maker, [(INDEX - 10, DEEP)], [(INDEX + 10, DEEP)])
    for price in (INDEX * 8 // 10, INDEX * 6 // 10, INDEX):
        assert abs(indexed(world, price) - price) <= price // 200


def test_a_fill_far_from_the_index_is_no_last_price(world):
    makers = [world.agent(80), world.agent(81)]
    printed(world, world.agent(70), world.agent(71), INDEX + BOUND + 1_000)
    for maker in makers:
        world.quotes(maker, [(INDEX - 10, DEEP)], [(INDEX + 10, DEEP)])
    indexed(world)
    record = world.state.mark_records[1]
    assert world.state.last_prices[1] == INDEX + BOUND + 1_000
    assert (record.bid, record.ask, record.last, record.of_quotes) == (INDEX - 10, INDEX + 10, 0, INDEX)
