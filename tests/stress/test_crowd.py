"""Who takes part: traders at every leverage on both sides, and makers that look after themselves."""

from collections import Counter

from core.quantities import MILLION
from stress.makers import Pace, makers
from stress.markets import MARKETS
from stress.population import Doing, populated

SOL = MARKETS["SOL-PERP"]
INDEX = 150_000


def test_a_seed_gives_the_same_crowd_and_another_seed_another():
    assert populated(1, 50, (50, 20), 10, 100) == populated(1, 50, (50, 20), 10, 100)
    assert populated(1, 50, (50, 20), 10, 100) != populated(2, 50, (50, 20), 10, 100)


def test_the_crowd_is_of_every_size_and_side_and_does_everything():
    crowd = populated(1, 5_000, (50, 20), 100, 1_000)
    assert len(set(crowd.traders)) == 5_000
    owners = Counter(trader.owner for trader in crowd.traders)
    assert 100 < sum(count == 2 for count in owners.values()) < 500
    assert {deed.doing for deed in crowd.deeds} == set(Doing)
    assert [deed.step for deed in crowd.deeds] == sorted(deed.step for deed in crowd.deeds)
    opened = [deed for deed in crowd.deeds if deed.doing is Doing.OPEN and deed.step < 100]
    longs = sum(deed.side > 0 for deed in opened)
    assert 0.6 < longs / len(opened) < 0.7
    leverages = [deed.notional / crowd.traders[deed.trader].deposit for deed in opened]
    assert min(leverages) < 1
    assert max(leverages) > 40
    # Beyond the first tier of a small market, so that tiers matter.
    assert sum(deed.notional > 2_000_000 * MILLION for deed in opened) > 20


def test_makers_lean_against_their_position_and_stop_on_a_full_side():
    maker = makers(1, 5_000, 1)[0]
    full = maker.full // (INDEX * SOL.value_per_tick_lot)
    flat, long, short = (maker.quotes(16, SOL, INDEX, 0, held, 0) for held in (0, full // 2, -full // 2))
    assert long.bids[0][0] < flat.bids[0][0] < INDEX < flat.asks[0][0] < short.asks[0][0]
    assert long.asks[0][0] < flat.asks[0][0]
    assert maker.quotes(16, SOL, INDEX, 0, full, 0).bids == ()
    assert maker.quotes(16, SOL, INDEX, 0, -full, 0).asks == ()
    answer = maker.answer(16, 1, SOL, INDEX, 0, full - 1, 10, 0)
    assert (answer.bid, answer.ask > 0) == (0, True)


def test_makers_widen_when_the_index_moves_and_narrow_slowly():
    maker, pace = makers(1, 5_000, 1)[0], Pace()
    spreads = []
    for price in (INDEX, INDEX, INDEX * 99 // 100, *[INDEX * 99 // 100] * 80):
        pace.see(price)
        quotes = maker.quotes(16, SOL, INDEX, pace.ppm, 0, 0)
        spreads.append(quotes.asks[0][0] - quotes.bids[0][0])
    assert spreads[2] > 5 * spreads[1]
    assert spreads[2] >= spreads[6] > spreads[20]
    assert spreads[-1] < 2 * spreads[1]
