"""Who counts as a maker of an hour of funding: nobody chooses what its rate follows, or its sign, with a moment or with a lot."""

import pytest

from core import events as e
from core.accounts import TREASURY
from core.funding import HOUR
from core.funding_hour import SAMPLE_EVERY, Basis, hour_of
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.outlook import outlook

INDEX = 600_000
SAMPLES = 40
"""Premiums of the hours here: what counts is the share of those that were sampled."""


@pytest.fixture
def hour(world):
    number = hour_of(world.now)
    world.now = number * HOUR
    world.index(1, INDEX)
    world.pass_time(0)
    return number + 1


def sample(world, standing, times=SAMPLES):
    """So many premiums, with the quotes (account: distance from the index, lots) kept up."""
    for _ in range(times):
        world.index(1, INDEX)
        for account, (away, lots) in standing.items():
            world.quotes(account, [(INDEX - away, lots)], [(INDEX + away, lots)])
        world.pass_time(SAMPLE_EVERY)


def end(world, hour):
    world.now = hour * HOUR
    world.index(1, INDEX)
    world.pass_time(0)
    return next(
        event
        for event in reversed(world.journal)
        if isinstance(event, e.HourEnded) and (event.market, event.hour) == (1, hour)
    )


def buy(world, account, lots, key="buy"):
    world.closed(world.request(account, key, 1, lots, INDEX + 100))
    assert world.held(account)[0] == lots


@pytest.mark.parametrize(
    ("away", "lots", "times", "basis"),
    [
        (10, 10_000, SAMPLES, Basis.PREMIUM),
        (10, 10_000, SAMPLES // 2 + 1, Basis.PREMIUM),
        (10, 10_000, SAMPLES // 2 - 1, Basis.SKEW),
        (2_900, 10_000, SAMPLES, Basis.PREMIUM),
        (28_000, 10_000, SAMPLES, Basis.SKEW),
        (10, 2_000, SAMPLES, Basis.SKEW),
    ],
)
def test_a_second_owner_makes_premiums_of_an_hour_only_with_depth_near_the_middle_in_half_of_it(
    world, hour, away, lots, times, basis
):
    maker, second = world.agent(1), world.agent(2)
    sample(world, {maker: (10, 10_000), second: (away, lots)}, times)
    world.play(c.CancelAll(second))
    sample(world, {maker: (10, 10_000)}, SAMPLES - times)
    ended = end(world, hour)
    assert (ended.basis, ended.makers) == (basis, 1 + (basis is Basis.PREMIUM))


def test_one_lot_sold_as_a_maker_takes_one_lot_out_of_the_skew(world, hour):
    maker, short, long, friend = (world.agent(number) for number in (1, 2, 3, 4))
    world.quotes(maker, [(INDEX - 10, 20_000)], [(INDEX + 10, 20_000)])
    buy(world, long, 10_000)
    world.closed(world.request(short, "sell", -1, 10_000, INDEX - 100))
    world.play(c.CancelAll(maker))
    world.quotes(short, [], [(INDEX + 10, 1)])
    buy(world, friend, 1)
    sample(world, {maker: (10, 20_000)})
    assert outlook(world.state, 1, world.now).seen.skew == 1
    assert end(world, hour).skew == 1


def test_what_a_maker_quoted_through_the_hour_leaves_the_skew_and_no_more(world, hour):
    maker, long = world.agent(1), world.agent(2)
    world.quotes(maker, [], [(INDEX + 10, 20_000)])
    buy(world, long, 20_000)
    sample(world, {maker: (10, 3_000)})
    assert end(world, hour).skew == 20_000
    sample(world, {maker: (10, 3_000)}, SAMPLES // 2)
    sample(world, {maker: (10, 5_000)}, SAMPLES // 2)
    # One sample more came with the end of the hour before.
    assert 3_900 <= end(world, hour + 1).skew < 4_000


def test_an_owner_is_one_maker_whichever_of_its_accounts_holds_what(world, hour):
    maker, other, taker = world.agent(1), world.agent(1, name="b"), world.agent(2)
    world.quotes(maker, [], [(INDEX + 10, 5_000)])
    buy(world, taker, 5_000)
    world.quotes(taker, [], [(INDEX + 10, 5_000)])
    buy(world, other, 5_000)
    sample(world, {maker: (10, 3_000), other: (20, 3_000)})
    ended = end(world, hour)
    # The owner is flat, and what the taker made in the hour is gone from its position as well.
    assert (ended.basis, ended.makers, ended.skew) == (Basis.SKEW, 1, 0)


def test_all_accounts_of_an_owner_that_made_share_what_they_receive_with_the_treasury(world, hour, replayed):
    maker, other, taker = world.agent(1), world.agent(1, name="b"), world.agent(2)
    seller = world.agent(3)
    world.quotes(maker, [], [(INDEX + 10, 9_000)])
    buy(world, taker, 9_000)
    world.quotes(taker, [(INDEX - 10, 4_000)], [])
    world.closed(world.request(other, "sell", -1, 4_000, INDEX - 100))
    world.quotes(seller, [], [(INDEX + 10, 1)])
    buy(world, world.agent(4), 1)
    sample(world, {maker: (10, 20_000)})
    ended = end(world, hour)
    assert ended.charge > 0
    owed = [world.state.owed(world.state.accounts[id]) for id in (maker, other)]
    assert owed == [-(lots * ended.charge // 10**6 * 9 // 10) for lots in (9_000, 4_000)]
    for copy in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(copy) == state_hash(world.state)
        assert [copy.owed(copy.accounts[id]) for id in (maker, other)] == owed
    before = world.balance(TREASURY)
    (paid,) = world.play(c.SettleFunding(1, hour))
    assert [dict(paid.payments)[id] for id in (maker, other)] == owed
    assert world.balance(TREASURY) - before == paid.treasury > 0


def test_an_hour_that_ended_by_an_older_record_is_shared_by_the_accounts_that_made_quotes(world, hour):
    """As it was when it ended, so that what was settled by it stays right."""
    maker, other, taker = world.agent(1), world.agent(1, name="b"), world.agent(2)
    world.quotes(maker, [], [(INDEX + 10, 2_000)])
    buy(world, taker, 2_000)
    world.record(e.PremiumSampled(world.now, 1, hour, 0, INDEX, 0, 0, 1, (other,)))
    at = hour * HOUR + SECOND
    world.record(e.HourEnded(at, 1, hour, Basis.SKEW, 0, 1, 2_000, 2_000, 8, 1, 8, 10**6, 100_000))
    (ended,) = world.state.funding[1].unpaid
    assert ended.makers == {maker, other}
    assert load(dump(world.state)).funding[1].unpaid[0].makers == {maker, other}
    assert world.state.owed(world.state.accounts[maker]) == -1_800
