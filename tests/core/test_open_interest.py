"""The alarm on open interest: at its edges, and against a scan of everything that happened."""

from hypothesis import given
from hypothesis import strategies as st

from core.open_interest import Lows, followed, jumped

WINDOW = 100


def test_a_jump_is_more_than_the_share_of_the_cap_and_at_least_a_doubling():
    assert jumped(0, 201, 1_000, 200_000)
    assert not jumped(0, 200, 1_000, 200_000)
    assert jumped(201, 402, 1_000, 200_000)
    assert not jumped(202, 403, 1_000, 200_000)
    assert jumped(200, 401, 1_000, 200_000)
    assert not jumped(0, 1_000, 1_000, 1_000_000)


def test_a_low_is_remembered_for_one_window_at_least_and_two_at_most():
    lows = followed(Lows(0, 50, 50), 50, 10, 5, WINDOW)
    lows = followed(lows, 10, 80, 99, WINDOW)
    assert lows.lowest == 10
    lows = followed(lows, 80, 90, 100, WINDOW)
    assert lows == Lows(100, 10, 80)
    assert followed(lows, 90, 95, 199, WINDOW).lowest == 10
    assert followed(lows, 90, 95, 200, WINDOW) == Lows(200, 80, 90)
    assert followed(lows, 90, 95, 300, WINDOW) == Lows(300, 90, 90)
    assert followed(lows, 90, 0, 1_000, WINDOW) == Lows(1_000, 90, 0)


@given(
    changes=st.lists(st.tuples(st.integers(0, 3 * WINDOW), st.integers(0, 50)), min_size=1, max_size=60),
)
def test_the_lowest_lies_between_those_of_one_window_and_of_two(changes):
    """A scan over all that was ever held is the other opinion."""
    now, held, lows = 0, 20, Lows(0, 20, 20)
    until = []
    since = 0
    for passed, then_held in changes:
        now += passed
        until.append((since, now, held))
        lows = followed(lows, held, then_held, now, WINDOW)
        since, held = now, then_held
        in_one, in_two = (
            min([held, *(lots for _, end, lots in until if end > now - back)])
            for back in (WINDOW, 2 * WINDOW)
        )
        assert in_two <= lows.lowest <= in_one
