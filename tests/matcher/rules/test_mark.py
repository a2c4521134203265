"""The mark apart from the index: what it is made of, what it decides, and what still goes by the index."""

from math import exp

import pytest

from core import events as e
from core.market import market
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import dump, load, state_hash

INDEX = 600_000


def indexed(world, price=INDEX, id=1, outside=0):
    """What a new index price leads to."""
    return world.play(c.UpdateIndex(id, price, 0, world.now, "test", outside=outside))


def stand(world, maker, middle, seconds, id=1):
    """Quotes 10 ticks around `middle`, renewed with an index price every 10 seconds; the last events."""
    events = []
    for _ in range(seconds // 10):
        world.quotes(maker, [(middle - 10, 1_000)], [(middle + 10, 1_000)], id)
        world.pass_time(10 * SECOND)
        events = indexed(world, id=id)
    return events


@pytest.mark.parametrize(
    ("bids", "asks"), [([], []), ([(599_000, 5)], []), ([], [(601_000, 5)])], ids=["none", "bids", "asks"]
)
def test_without_quotes_on_both_sides_the_mark_is_the_index(world, bids, asks):
    maker = world.agent(1)
    if bids or asks:
        world.quotes(maker, bids, asks)
    world.now += 10 * SECOND
    assert [type(event) for event in indexed(world, 606_000)] == [e.IndexUpdated]
    assert world.state.mark_price(1) == 606_000


def test_quotes_that_stay_away_from_the_index_take_the_mark_along_slowly(world):
    maker = world.agent(1)
    indexed(world)
    for seconds in (10, 140, 450):
        made = stand(world, maker, INDEX + 600, seconds)[-1]
        assert isinstance(made, e.MarkUpdated)
        assert made.of_quotes == INDEX + 600
        assert made.price == made.with_basis == world.state.mark_price(1)
        stood = {10: 10, 140: 150, 450: 600}[seconds]
        assert made.price == pytest.approx(INDEX + 600 * (1 - exp(-stood / 150)), abs=1)


def test_quotes_that_come_after_a_pause_begin_at_the_index(world):
    maker = world.agent(1)
    indexed(world)
    stand(world, maker, INDEX + 600, 300)
    world.play(c.CancelAll(maker))
    for _ in range(20):
        world.pass_time(10 * SECOND)
        indexed(world)
    assert world.state.mark_price(1) == INDEX
    made = stand(world, maker, INDEX + 6_000, 10)[-1]
    assert made.price == pytest.approx(INDEX + 6_000 * (1 - exp(-10 / 150)), abs=1)


def test_quotes_that_have_expired_are_no_view(world):
    maker = world.agent(1)
    world.play(c.SetQuotes(maker, 1, ((599_990, 5),), ((600_010, 5),), world.now + SECOND))
    world.now += SECOND
    assert [type(event) for event in indexed(world)] == [e.IndexUpdated]


def test_mids_outside_are_the_third_view(world):
    maker = world.agent(1)
    stand(world, maker, INDEX + 600, 150)
    for outside, expected in (
        (INDEX - 900, "with_basis"),
        (INDEX + 500, "outside"),
        (INDEX + 900, "of_quotes"),
    ):
        world.quotes(maker, [(INDEX + 590, 1_000)], [(INDEX + 610, 1_000)])
        world.now += SECOND
        made = indexed(world, outside=outside)[-1]
        assert made.outside == outside
        assert INDEX < made.with_basis < INDEX + 500
        assert made.price == getattr(made, expected)


def test_quotes_that_are_gone_leave_a_basis_that_mids_outside_confirm_for_a_while(world):
    maker = world.agent(1)
    last = stand(world, maker, INDEX + 600, 300)[-1]
    world.play(c.CancelAll(maker))
    for _ in range(15):
        world.pass_time(10 * SECOND)
        made = indexed(world, outside=INDEX + 300)[-1]
        assert (made.with_basis, made.of_quotes, made.basis) == (last.with_basis, 0, last.basis)
        assert made.price == INDEX + 300
        assert world.state.bases[1].at == last.at
    world.pass_time(10 * SECOND)
    assert [type(event) for event in indexed(world, outside=INDEX + 300)] == [e.IndexUpdated]


def test_mids_outside_alone_make_no_mark(world):
    world.now += SECOND
    assert [type(event) for event in indexed(world, outside=INDEX + 300)] == [e.IndexUpdated]
    for outside in (-1, 10**12 + 1):
        assert world.refuse(c.UpdateIndex(1, INDEX, 0, world.now, "t", outside=outside)) == "bad_value"


def test_margin_and_settlement_go_by_the_mark_and_the_band_by_the_index(world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_990, 1_000)], [(600_010, 1_000)])
    world.request(trader, "k", 1, 1_000, 600_010)
    stand(world, maker, INDEX + 6_500, 450)
    mark = world.state.mark_price(1)
    assert mark > INDEX * 1.01
    account = world.state.accounts[trader]
    assert world.state.margin_of(account).equity == account.balance + (mark - 600_010) * 1_000 * 10
    # The mark is more than the band away from the index at which this quote was given, the index is not.
    fill = world.request(trader, "more", 1, 10, INDEX + 7_000)[0]
    assert isinstance(fill, e.Filled)
    assert fill.index == INDEX
    assert world.play(c.CutSettlement(1))[0].marks == ((1, mark), (2, 300_000))
    assert world.state.cut.equities[trader] == world.state.margin_of(account).equity


def test_a_mark_lasts_until_the_next_index_price_whatever_becomes_of_the_market(world, replayed):
    maker = world.agent(1)
    indexed(world)
    stand(world, maker, INDEX + 600, 150)
    mark = world.state.mark_price(1)
    world.play(c.SetMarketStatus(1, 2))
    assert world.state.mark_price(1) == mark != INDEX
    again, loaded = replayed(world.journal), load(dump(world.state))
    assert state_hash(again) == state_hash(loaded) == state_hash(world.state)
    assert again.marks == loaded.marks == world.state.marks
    world.play(c.CancelAll(maker))
    indexed(world)
    assert world.state.mark_price(1) == INDEX


def test_the_next_mark_after_a_snapshot_is_the_one_without(world, new_world):
    maker, trader = world.agent(1), world.agent(2)
    world.quotes(maker, [(599_990, 1_000)], [(600_310, 1_000)])
    world.request(trader, "k", 1, 10, 600_310)
    indexed(world)
    stand(world, maker, INDEX + 600, 30)
    other = new_world()
    other.state, other.journal, other.now = load(dump(world.state)), list(world.journal), world.now
    assert stand(other, maker, INDEX + 600, 10)[-1] == stand(world, maker, INDEX + 600, 10)[-1]


def test_a_market_that_only_reduces_while_thin_opens_with_quotes_on_both_sides(world):
    world.play(
        c.ListMarket(
            market(
                3,
                "T-PERP",
                "0.1",
                "0.0001",
                max_leverage=50,
                position_cap="100",
                open_interest_cap="100",
                feed="",
                thin_only_reduces=True,
            )
        )
    )
    maker, trader = world.agent(1), world.agent(2)
    indexed(world, id=3)
    assert world.request(trader, "a", 1, 10, 600_010, market=3).code == "market_reduce_only"
    stand(world, maker, INDEX, 10, id=3)
    assert world.request(trader, "b", 1, 10, 600_010, market=3)[-1].outcome == "filled"
    world.quotes(maker, [(INDEX - 10, 100)], [], 3)
    world.now += SECOND
    indexed(world, id=3)
    assert world.request(trader, "c", 1, 1, 600_010, market=3).code == "market_reduce_only"
    assert world.request(trader, "d", -1, 10, 599_990, market=3)[-1].outcome == "filled"
