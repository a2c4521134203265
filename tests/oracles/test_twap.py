"""The average against one that keeps everything, and against the memory it may use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import Nanos
from oracles.twap import BUCKETS, Twap

WIDTH = 10
WINDOW = Nanos(WIDTH * BUCKETS)


def kept_whole(records: list[tuple[int, int]], now: int) -> int:
    """The mean over the same window, one nanosecond after the other."""
    start = max(records[0][1], (now // WIDTH - BUCKETS) * WIDTH)
    values, current, pending = [], records[0][0], list(records)
    for moment in range(records[0][1], now):
        while pending and pending[0][1] <= moment:
            current = pending.pop(0)[0]
        if moment >= start:
            values.append(current)
    if not values:
        return records[-1][0]
    return (2 * sum(values) + len(values)) // (2 * len(values))


RECORDS = st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 90)), min_size=1, max_size=30)


@given(RECORDS, st.integers(0, 400), st.integers(0, 1_000))
def test_it_is_the_mean_of_every_nanosecond_of_the_window(steps, later, start):
    twap, records, at = Twap(WINDOW), [], start
    for value, wait in steps:
        at += wait
        twap.record(value, Nanos(at))
        records.append((value, at))
    now = at + later
    if now == start:
        assert twap.mean(Nanos(now)) == steps[-1][0]
    else:
        assert twap.mean(Nanos(now)) == kept_whole(records, now)


@given(RECORDS, st.integers(0, 10**15))
def test_it_lies_between_the_prices_however_long_the_silence(steps, silence):
    twap, at = Twap(WINDOW), 0
    for value, wait in steps:
        at += wait
        twap.record(value, Nanos(at))
        twap.mean(Nanos(at))
    mean = twap.mean(Nanos(at + silence))
    values = [value for value, _ in steps]
    assert min(values) <= mean <= max(values)
    if silence > WINDOW + WIDTH:
        assert mean == values[-1]
    assert len(twap._buckets) <= BUCKETS + 1


def test_a_price_counts_by_how_long_it_stood_not_by_how_often_it_was_said():
    twap = Twap(WINDOW)
    twap.record(100, Nanos(0))
    for _ in range(50):
        twap.record(400, Nanos(60))
    assert twap.mean(Nanos(90)) == 200


def test_time_that_goes_back_changes_no_past():
    twap = Twap(WINDOW)
    twap.record(100, Nanos(1_000))
    assert twap.mean(Nanos(1_100)) == 100
    twap.record(900, Nanos(500))
    assert twap.mean(Nanos(900)) == 100
    assert twap.mean(Nanos(1_200)) == 500  # from the latest moment seen, not from the one stated


def test_nothing_is_known_before_the_first_price():
    assert Twap(WINDOW).mean(Nanos(5)) is None
    for window in (0, -BUCKETS, BUCKETS + 1):
        with pytest.raises(ValueError, match="whole buckets"):
            Twap(Nanos(window))
