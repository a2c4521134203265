"""The mark apart from the index: what it is made of, what it decides, and what still goes by the index."""

from math import exp

import pytest

from core import events as e
from core.market import market
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import dump, load, state_hash
from matcher.marking import thin

INDEX = 600_000
LOTS = 2_500
"""Of 6 USDC each: more than half of the depth of 25,000 USDC that is asked for at 50 times."""
BOUND = INDEX // 200


def indexed(world, price=INDEX, id=1, outside=0):
    """What a new index price leads to."""
    return world.play(c.UpdateIndex(id, price, 0, world.now, "test", outside=outside))


def two(world):
    """Makers of two owners."""
    return world.agent(1), world.agent(2)


def quote(world, makers, bid, ask, id=1, size=LOTS):
    for maker in makers:
        world.quotes(maker, [(bid, size)] if bid else [], [(ask, size)] if ask else [], id)


def stand(world, makers, middle, seconds, id=1, every=5):
    """Quotes 10 ticks around `middle`, renewed with an index price every 5 seconds; the last events."""
    events = []
    for _ in range(seconds // every):
        quote(world, makers, middle - 10, middle + 10, id)
        world.pass_time(every * SECOND)
        events = indexed(world, id=id)
    return events


def pull(world, makers):
    for maker in makers:
        world.play(c.CancelAll(maker))


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([], []), ([(599_000, LOTS)], []), ([], [(601_000, LOTS)])],
    ids=["none", "bids", "asks"],
)
def test_without_quotes_on_both_sides_the_mark_is_the_index(world, bids, asks):
    for maker in two(world) if bids or asks else ():
        world.quotes(maker, bids, asks)
    world.now += 10 * SECOND
    assert [type(event) for event in indexed(world, 606_000)] == [e.IndexUpdated]
    assert world.state.mark_price(1) == 606_000


def test_quotes_that_stay_away_from_the_index_take_the_mark_along_slowly(world):
    makers = two(world)
    indexed(world)
    for seconds in (10, 140, 450):
        made = stand(world, makers, INDEX + 600, seconds)[-1]
        assert isinstance(made, e.MarkUpdated)
        assert made.of_quotes == INDEX + 600
        assert (made.bid, made.ask, made.last, made.makers) == (INDEX + 590, INDEX + 610, 0, makers)
        assert made.price == made.with_basis == world.state.mark_price(1)
        stood = {10: 10, 140: 150, 450: 600}[seconds]
        assert made.price == pytest.approx(INDEX + 600 * (1 - exp(-stood / 150)), abs=1)


def test_quotes_that_come_after_a_pause_begin_at_the_index(world):
    makers = two(world)
    indexed(world)
    stand(world, makers, INDEX + 600, 300)
    pull(world, makers)
    for _ in range(20):
        world.pass_time(10 * SECOND)
        indexed(world)
    assert world.state.mark_price(1) == INDEX
    made = stand(world, makers, INDEX + 2_900, 10)[-1]
    assert made.price == pytest.approx(INDEX + 2_900 * (1 - exp(-10 / 150)), abs=1)


def test_quotes_that_have_expired_are_no_view(world):
    for maker in two(world):
        world.play(c.SetQuotes(maker, 1, ((599_990, LOTS),), ((600_010, LOTS),), world.now + SECOND))
    world.now += SECOND
    assert [type(event) for event in indexed(world)] == [e.IndexUpdated]


def test_mids_outside_are_a_voice_of_their_own_beside_the_quotes(world):
    makers = two(world)
    stand(world, makers, INDEX + 600, 150)
    for outside in (INDEX - 900, INDEX, INDEX + 200, INDEX + 900):
        for _ in range(3):
            quote(world, makers, INDEX + 590, INDEX + 610)
            world.now += 5 * SECOND
            made = indexed(world, outside=outside)[-1]
        assert made.outside == outside
        assert INDEX + 300 < made.with_basis < made.of_quotes == INDEX + 600
        # The quotes alone say more than half of it, twice: that is one voice, and nobody's mark where the others contradict it.
        assert made.price == max(INDEX, min(outside, (made.with_basis + made.of_quotes) // 2))


def test_quotes_that_are_gone_leave_a_basis_that_mids_outside_confirm_for_a_while(world):
    makers = two(world)
    last = stand(world, makers, INDEX + 600, 300)[-1]
    pull(world, makers)
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
    for outside in (-(10**30), -1, 10**12 + 1, 10**30):
        assert [type(event) for event in indexed(world, outside=outside)] == [e.IndexUpdated]


def test_a_mid_outside_that_no_market_could_hold_is_none_and_refuses_no_index(world):
    """Two publishers may agree while an outside venue lies: whoever stops the index then stops liquidation and settlement."""
    quote(world, two(world), INDEX - 10, INDEX + 10)
    for outside, counts in ((-1, 0), (10**12 + 1, 0), (10**30, 0), (10**12, 10**12)):
        world.now += SECOND
        updated, mark = indexed(world, INDEX + 1, outside=outside)
        assert (updated.price, updated.validity, mark.outside) == (INDEX + 1, Validity.VALID, counts)


def test_margin_and_settlement_go_by_the_mark_and_the_band_by_the_index(world):
    world.play(c.SetLimits(1, oracle_band=2_000, why="narrower than the mark may be away"))
    makers, trader = two(world), world.agent(3)
    world.quotes(makers[0], [(599_990, 1_000)], [(600_010, 1_000)])
    world.request(trader, "k", 1, 1_000, 600_010)
    stand(world, makers, INDEX + 2_000, 450)
    mark = world.state.mark_price(1)
    assert mark > INDEX * 1.002
    account = world.state.accounts[trader]
    assert world.state.margin_of(account).equity == account.balance + (mark - 600_010) * 1_000 * 10
    # The mark is more than the band away from the index at which this quote was given, the index is not.
    fill = world.request(trader, "more", 1, 10, INDEX + 2_010)[0]
    assert isinstance(fill, e.Filled)
    assert fill.index == INDEX
    assert world.play(c.CutSettlement(1))[0].marks == ((1, mark), (2, 300_000))
    assert world.state.cut.equities[trader] == world.state.margin_of(account).equity


def test_a_mark_lasts_until_the_next_index_price_whatever_becomes_of_the_market(world, replayed):
    makers = two(world)
    indexed(world)
    stand(world, makers, INDEX + 600, 150)
    mark = world.state.mark_price(1)
    world.play(c.SetMarketStatus(1, 2))
    assert world.state.mark_price(1) == mark != INDEX
    again, loaded = replayed(world.journal), load(dump(world.state))
    assert state_hash(again) == state_hash(loaded) == state_hash(world.state)
    assert again.marks == loaded.marks == world.state.marks
    pull(world, makers)
    for _ in range(2):
        world.now += 5 * SECOND
        indexed(world)
    assert world.state.mark_price(1) == INDEX


def test_the_next_mark_after_a_snapshot_is_the_one_without(world, new_world):
    makers, trader = two(world), world.agent(3)
    world.quotes(makers[0], [(599_990, 1_000)], [(600_310, 1_000)])
    world.request(trader, "k", 1, 10, 600_310)
    indexed(world)
    stand(world, makers, INDEX + 600, 30)
    other = new_world()
    other.state, other.journal, other.now = load(dump(world.state)), list(world.journal), world.now
    assert stand(other, makers, INDEX + 600, 10)[-1] == stand(world, makers, INDEX + 600, 10)[-1]


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
    makers, trader = two(world), world.agent(3)
    indexed(world, id=3)
    assert world.request(trader, "a", 1, 10, 600_010, market=3).code == "market_reduce_only"
    stand(world, makers, INDEX, 10, id=3)
    assert world.request(trader, "b", 1, 10, 600_010, market=3)[-1].outcome == "filled"
    assert not thin(world.state, 3)
    for seconds in (30, 1):
        quote(world, makers, INDEX - 10, 0, 3)
        world.now += seconds * SECOND
        assert not thin(world.state, 3)
        indexed(world, id=3)
    assert thin(world.state, 3)
    assert world.request(trader, "c", 1, 1, 600_010, market=3).code == "market_reduce_only"
    assert world.request(trader, "d", -1, 10, 599_990, market=3)[-1].outcome == "filled"
