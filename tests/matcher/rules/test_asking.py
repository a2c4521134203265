"""Which makers a request asks, and for whom it waits."""

from core.quantities import SECOND
from matcher import commands as c
from matcher.limits import (
    MAKER_EQUITY_MIN,
    MAKERS_ASKED_MAX,
    REQUESTS_OPEN_MAX,
    SILENCES_MAX,
    SPEECHES_PER_SILENCE,
)


def test_a_maker_that_keeps_silent_is_asked_but_no_longer_waited_for_until_it_speaks(world):
    good, silent, trader = world.agent(1), world.agent(2), world.agent(3)
    for account in (good, silent):
        world.play(c.Subscribe(account, (1, 2)))

    def close_early(key: str, speaks: bool = False) -> bool:
        """Whether the request closes as soon as the good maker answered; the other one passes before if it speaks."""
        world.index(1, 600_000)
        asked = world.opened(world.request(trader, key, 1, 10, 601_000))
        assert asked.makers == (good, silent)
        if speaks:
            world.play(c.PassRequest(silent, asked.request))
        expires = world.now + SECOND
        world.play(c.AnswerRequest(good, asked.request, 0, 600_100, 10, 1, expires))
        early = asked.request not in world.state.book.requests
        world.pass_time(SECOND)
        return early

    assert [close_early(f"a{n}") for n in range(SILENCES_MAX + 1)] == [False] * SILENCES_MAX + [True]
    elsewhere = world.opened(world.request(trader, "eth", 1, 10, 301_000, market=2)).request
    assert world.state.book.requests[elsewhere].waiting == {good, silent}
    world.play(c.Subscribe(silent, ()))
    world.play(c.Subscribe(silent, (1, 2)))
    assert close_early("again")
    late = world.opened(world.request(trader, "late", 1, 10, 601_000)).request
    world.play(c.AnswerRequest(silent, late, 0, 600_100, 10, 1, world.now + SECOND))
    world.play(c.CancelRequest(trader, late))
    assert [close_early(f"b{n}") for n in range(3)] == [False, True, True]
    # One silence costs as much as so many answers or passes make up for, so it can hold up one request in as many at most.
    assert [close_early(f"c{n}", speaks=True) for n in range(SPEECHES_PER_SILENCE)] == [
        True
    ] * SPEECHES_PER_SILENCE
    assert [close_early(f"d{n}") for n in range(3)] == [False, True, True]


def test_a_request_that_its_trader_ends_is_nobodys_silence_and_a_lone_silent_maker_is_heard_again(world):
    maker, trader = world.agent(1), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    for number in range(SILENCES_MAX + 1):
        world.play(
            c.CancelRequest(trader, world.opened(world.request(trader, f"a{number}", 1, 10, 601_000)).request)
        )
    assert world.state.book.silences == {}
    for number in range(SILENCES_MAX):
        world.opened(world.request(trader, f"b{number}", 1, 10, 601_000))
        world.pass_time(SECOND)
    assert world.state.book.silent(maker, 1)
    for number in range(SILENCES_MAX * SPEECHES_PER_SILENCE):
        request = world.opened(world.request(trader, f"c{number}", 1, 10, 601_000)).request
        answer = world.play(c.AnswerRequest(maker, request, 0, 600_100, 10, 1, world.now + SECOND))
        assert world.closed(answer).outcome == "filled"
    assert world.state.book.silences == {}


def test_makers_without_money_are_not_asked(world):
    trader, maker, ruined = world.agent(1, 10**13), world.agent(2), world.agent(3, deposit=1_300_000_000)
    empty = world.agent(4, deposit=0)
    world.quotes(trader, [], [(600_000, 10**6)])
    world.request(ruined, "k", 1, 10_000, 600_000)
    for account in (maker, ruined, empty):
        world.play(c.Subscribe(account, (1,)))
    assert world.opened(world.request(trader, "before", 1, 10, 601_000)).makers == (maker, ruined)
    world.index(1, 580_000)
    assert world.opened(world.request(trader, "after", 1, 10, 601_000)).makers == (maker,)
    world.play(c.Subscribe(maker, ()))
    assert world.closed(world.request(trader, "nobody", 1, 10, 601_000)).outcome == "unfilled"


def test_a_request_asks_so_many_makers_at_most_and_they_take_turns(world):
    trader, makers = world.agent(1), [world.agent(number) for number in range(2, MAKERS_ASKED_MAX + 6)]
    for maker in makers:
        world.play(c.Subscribe(maker, (1,)))
    silent = makers[:2]
    world.state.book.silences = {(maker, 1): SILENCES_MAX * SPEECHES_PER_SILENCE for maker in silent}
    asked = [
        set(world.opened(world.request(trader, f"k{number}", 1, 10, 601_000)).makers)
        for number in range(len(makers))
    ]
    assert {len(each) for each in asked} == {MAKERS_ASKED_MAX}
    assert set.union(*asked) == set(makers) - set(silent)


def test_accounts_of_one_owner_do_not_crowd_out_the_makers_of_others(world):
    trader, honest = world.agent(1), [world.agent(number) for number in range(2, 5)]
    crowd = [world.agent(9, name=f"n{number}") for number in range(2 * MAKERS_ASKED_MAX)]
    for maker in honest + crowd:
        world.play(c.Subscribe(maker, (1,)))
    for number in range(REQUESTS_OPEN_MAX):
        asked = world.opened(world.request(trader, f"k{number}", 1, 10, 601_000)).makers
        assert len(asked) == MAKERS_ASKED_MAX
        assert set(honest) < set(asked)


def test_makers_that_could_not_back_a_tenth_of_a_request_are_asked_only_when_they_hold_as_much(world):
    trader, other = world.agent(1), world.agent(2)
    # A tenth of 10,000 lots is worth 6,000 USDC, of which a fiftieth is required.
    poor, rich = world.agent(3, deposit=119_999_999), world.agent(4, deposit=120_000_000)
    for maker in (poor, rich):
        world.play(c.Subscribe(maker, (1,)))
    assert world.opened(world.request(trader, "a", 1, 10_000, 601_000)).makers == (rich,)
    assert world.opened(world.request(trader, "b", 1, 9_990, 601_000)).makers == (poor, rich)
    world.quotes(poor, [], [(600_000, 900)])
    world.request(other, "c", 1, 900, 600_000)
    assert world.opened(world.request(trader, "d", 1, 9_010, 601_000)).makers == (rich,)
    assert world.opened(world.request(trader, "e", 1, 9_000, 601_000)).makers == (poor, rich)


def test_makers_with_less_than_a_hundred_usdc_are_not_asked_for_the_smallest_request(world):
    trader, other = world.agent(1), world.agent(2)
    poor = world.agent(3, deposit=MAKER_EQUITY_MIN - 1)
    enough = world.agent(4, deposit=MAKER_EQUITY_MIN)
    for maker in (poor, enough):
        world.play(c.Subscribe(maker, (1,)))
    assert world.opened(world.request(trader, "a", 1, 1, 601_000)).makers == (enough,)
    world.quotes(poor, [], [(600_000, 1)])
    world.request(other, "b", 1, 1, 600_000)
    assert world.opened(world.request(trader, "c", 1, 1, 601_000)).makers == (enough,)
