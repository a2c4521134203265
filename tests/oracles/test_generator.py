"""Generated prices: the same for the same seed, bounded steps, never zero."""

from itertools import islice, pairwise

import pytest

from core.quantities import MILLION, SECOND, Nanos
from oracles.generator import LEVELS, STARTS, STEP_PPM_MAX, WAVES, price_at, prices


@pytest.mark.parametrize("symbol", sorted(STARTS))
def test_a_walk_is_its_seeds_and_its_steps_are_bounded(symbol):
    walk = list(islice(prices(7, symbol), 2_000))
    assert walk == list(islice(prices(7, symbol), 2_000))
    assert walk != list(islice(prices(8, symbol), 2_000))
    assert walk[0] == STARTS[symbol]
    for before, after in pairwise(walk):
        assert abs(after - before) * 1_000_000 <= STEP_PPM_MAX * before
    assert len(set(walk)) > 1_000


NOON = Nanos(1_763_812_800 * SECOND)


def test_the_price_of_an_instant_is_its_seed_s_whoever_asks_and_in_whatever_order():
    later = [price_at(1, "XAU", Nanos(NOON + number * SECOND)) for number in range(200)]
    assert [price_at(1, "XAU", Nanos(NOON + number * SECOND)) for number in reversed(range(200))] == later[
        ::-1
    ]
    assert later[:3] == [4_038_228_000, 4_038_208_000, 4_038_192_000]
    assert price_at(2, "XAU", NOON) != later[0]
    with pytest.raises(KeyError):
        price_at(1, "SILVER", NOON)


def test_prices_of_instants_stay_near_their_level_and_do_not_jump():
    """A wave goes from one height to the next in its length, so in a second by no more than both at their most."""
    level, most = LEVELS["XAU"], sum(one for _, one in WAVES)
    a_second = sum(-(-2 * most * SECOND // length) for length, most in WAVES) + len(WAVES)
    days = [Nanos(NOON + number * 3_571 * SECOND) for number in range(1_000)]
    for at in days:
        now, then = price_at(3, "XAU", at), price_at(3, "XAU", Nanos(at + SECOND))
        assert abs(now - level) * MILLION <= most * level
        assert abs(then - now) * MILLION <= a_second * level
    found = {price_at(3, "XAU", at) for at in days}
    assert len(found) > 900
    assert min(found) < level * 99 // 100
    assert max(found) > level * 101 // 100
