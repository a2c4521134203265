"""Generated prices: the same for the same seed, bounded steps, never zero."""

from itertools import islice, pairwise

import pytest

from oracles.generator import STARTS, STEP_PPM_MAX, prices


@pytest.mark.parametrize("symbol", sorted(STARTS))
def test_a_walk_is_its_seeds_and_its_steps_are_bounded(symbol):
    walk = list(islice(prices(7, symbol), 2_000))
    assert walk == list(islice(prices(7, symbol), 2_000))
    assert walk != list(islice(prices(8, symbol), 2_000))
    assert walk[0] == STARTS[symbol]
    for before, after in pairwise(walk):
        assert abs(after - before) * 1_000_000 <= STEP_PPM_MAX * before
    assert len(set(walk)) > 1_000
