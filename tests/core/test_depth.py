"""What quotes say of a price: crossed lots trade away, and no owner counts for more than its share."""

from hypothesis import given
from hypothesis import strategies as st

from core.depth import Firm, depth, standing, uncrossed
from core.mark_price import LOOKED_MAX, MarkTerms, basis_bound, drifted, held_near
from core.quantities import MILLION, SECOND

NOTIONAL = 10_000
"""Micro-USDC, at one per tick and lot."""
levels = st.lists(st.tuples(st.integers(50, 150), st.integers(1, 100), st.integers(0, 3)), max_size=8)


def side(given, sign):
    """Levels (price, lots, owner), best first."""
    return [
        Firm(price, lots, owner, f"o{owner}")
        for price, lots, owner in sorted(given, key=lambda level: sign * level[0])
    ]


def priced(bids, asks):
    return depth(side(bids, -1), side(asks, 1), 1, NOTIONAL)


def test_two_owners_that_hold_half_each_are_enough_and_one_that_holds_everything_is_not():
    assert priced([(100, 50, 0), (100, 50, 1)], []) == (100 * MILLION, None, {0, 1})
    assert priced([(100, 50, 0), (100, 49, 1)], []).bid is None
    assert priced([(100, 5_000, 0)], []) == (None, None, frozenset())


def test_the_second_owner_decides_how_good_the_price_is():
    found = priced([], [(100, 5_000, 0), (125, 5_000, 1)])
    # 50 lots for 5,000 and 40 lots for 5,000.
    assert found.ask == -(-10_000 * MILLION // 90)


def test_shares_that_no_whole_lots_make_are_filled_by_the_next_lot():
    assert priced([(99, 51, 0), (99, 51, 1)], []).bid == 99 * MILLION
    assert priced([(99, 51, 0), (99, 50, 1)], []).bid is None


def test_crossed_lots_trade_away():
    bids, asks = uncrossed(side([(105, 10, 0), (99, 5, 1)], -1), side([(100, 4, 2), (101, 8, 3)], 1))
    assert [(level.price, level.lots) for level in bids] == [(99, 5)]
    assert [(level.price, level.lots) for level in asks] == [(101, 2)]


@given(levels, levels)
def test_what_is_left_is_not_crossed_and_both_sides_lost_the_same(bids, asks):
    before = side(bids, -1), side(asks, 1)
    after = [list(left) for left in uncrossed(*before)]
    if all(after):
        assert after[0][0].price < after[1][0].price
    lost = [
        sum(one.lots for one in old) - sum(one.lots for one in new)
        for old, new in zip(before, after, strict=True)
    ]
    assert lost[0] == lost[1] >= 0


@given(levels, levels)
def test_no_single_owner_moves_a_price_out_of_the_honest_spread(bids, asks):
    """Whatever the owner 9 quotes, as long as the honest hold more than it can cross."""
    lies = [[(price, lots, 9) for price, lots, _ in made] for made in (bids, asks)]
    found = priced([(99, 900, 0), (98, 900, 1), *lies[0]], [(101, 900, 2), (102, 900, 3), *lies[1]])
    assert 98 * MILLION <= found.bid < found.ask <= 102 * MILLION


@given(levels, levels)
def test_a_price_takes_two_owners_that_stand(bids, asks):
    found = priced(bids, asks)
    for price in (found.bid, found.ask):
        assert price is None or len(found.accounts) >= 2


def stood(bids, asks):
    return standing(side(bids, -1), side(asks, 1), 100, 100 * NOTIONAL * 100)


def test_who_holds_half_of_the_depth_on_both_sides_stands_with_the_lots_of_the_smaller():
    enough = [(9_990, 60, 0), (9_985, 51, 1)], [(10_010, 70, 0), (10_015, 50, 1)]
    assert stood(*enough) == {"o0": 60, "o1": 50}
    assert stood(enough[0], [(10_010, 49, 0), (10_015, 50, 1)]) == {"o1": 50}
    assert stood(enough[0], [(10_010, 70, 0)]) == {"o0": 60}
    assert stood([], enough[1]) == {}
    assert stood([(9_990, 30, 0), (9_980, 30, 0)], [(10_010, 25, 0), (10_020, 25, 0)]) == {"o0": 50}


def test_quotes_count_half_a_percent_around_the_middle_of_what_is_not_crossed():
    near, far = (9_950, 60, 1), (9_949, 60, 1)
    honest = [(9_999, 60, 0)], [(10_001, 60, 0), (10_050, 60, 1)]
    assert stood([*honest[0], near], honest[1]) == {"o0": 60, "o1": 60}
    assert stood([*honest[0], far], honest[1]) == {"o0": 60}
    # A lie across the asks is traded away, and the middle is where it was.
    assert stood([*honest[0], near, (11_000, 5, 2)], honest[1]) == {"o0": 55, "o1": 60}


def test_a_few_lots_do_not_move_the_middle_away_from_who_quotes_widely():
    wide = [(9_960, 60, 0)], [(10_040, 60, 0)]
    assert stood(*wide) == {"o0": 60}
    assert stood([*wide[0], (10_039, 2, 1)], wide[1]) == {"o0": 60}
    # Who moves it holds a whole share there, for anybody to trade against.
    assert stood([*wide[0], (10_039, 50, 1)], wide[1]) == {}


terms = st.builds(MarkTerms, st.integers(0, 100_000), st.integers(1, 10_000))
prices = st.integers(1, 10**9)


@given(terms, st.lists(st.tuples(prices, prices, st.integers(0, 60 * SECOND)), min_size=1, max_size=20))
def test_the_mark_stays_near_the_index_and_comes_there_step_by_step(terms, looks):
    basis = 0
    for index, wanted, elapsed in looks:
        bound = basis_bound(index, terms, 50_000, 25_000)
        mark = held_near(drifted(wanted, index, basis, elapsed, terms), index, bound)
        assert mark > 0
        assert abs(mark - index) * MILLION <= min(terms.basis_max, 12_500) * index
        moved = abs(mark - index - basis)
        assert moved <= max(
            abs(basis) - bound, index * terms.drift * min(elapsed, LOOKED_MAX) // (MILLION * SECOND) + 1
        )
        basis = mark - index


def test_no_mark_takes_more_than_half_of_what_is_between_the_requirements():
    assert basis_bound(600_000, MarkTerms(), 20_000, 10_000) == 3_000
    assert basis_bound(600_000, MarkTerms(), 50_000, 25_000) == 3_000
    assert basis_bound(600_000, MarkTerms(), 10_000, 5_000) == 1_500
