"""The average of an hour's prices, by the time that each stood: against the sum of every millisecond."""

from hypothesis import given
from hypothesis import strategies as st

from core.quantities import MILLISECOND, SECOND
from core.settlement_price import MINUTE, WINDOW, Average, Minute, Past, average, spread, window_end

START = 28_333_333 * MINUTE


def test_a_price_counts_for_the_time_that_it_stood():
    past = Past()
    past.add(600_000, START, START + WINDOW - SECOND)
    past.add(606_000, START + WINDOW - SECOND, START + WINDOW)
    # One second of one percent: 6,000 ticks over 3,600.
    assert average(past.minutes, START + WINDOW) == Average(600_002, WINDOW)


def test_to_the_nearest_tick_and_a_half_up():
    for prices, price in (((5, 6), 6), ((5, 5, 6), 5), ((5, 6, 6), 6), ((7,), 7)):
        past = Past()
        for number, one in enumerate(prices):
            past.add(one, START + number * SECOND, START + (number + 1) * SECOND)
        assert average(past.minutes, START + MINUTE) == Average(price, len(prices) * SECOND)


def test_the_minute_that_runs_and_what_is_older_than_the_window_do_not_count():
    past = Past()
    past.add(1, START - SECOND, START)
    past.add(500, START + WINDOW - SECOND, START + WINDOW)
    past.add(9, START + WINDOW, START + WINDOW + 1)
    assert average(past.minutes, START + WINDOW) == Average(500, SECOND)
    assert average(past.minutes, START + 2 * WINDOW) is None
    assert window_end(START + WINDOW + MINUTE - 1) == START + WINDOW


def test_an_hour_of_prices_is_sixty_one_minutes_however_long_it_goes_on():
    past = Past()
    for number in range(5_000):
        past.add(600_000, START + number * 3 * SECOND, START + (number + 1) * 3 * SECOND)
    assert len(past.minutes) == WINDOW // MINUTE + 1
    past.add(7, START, START + 400 * WINDOW)
    assert (len(past.minutes), {one.area for one in past.minutes}) == (61, {7 * 60_000})


@given(
    st.lists(
        st.tuples(st.integers(1, 10**12), st.integers(0, 9 * MINUTE), st.booleans()), min_size=1, max_size=30
    )
)
def test_any_prices_come_to_what_every_millisecond_of_them_comes_to(steps):
    past, at, stood = Past(), START + 123_456, []
    for price, nanos, believed in steps:
        if believed:
            past.add(price, at, at + nanos)
            stood.append((price, at, at + nanos))
        at += nanos
    end = window_end(at)
    area = millis = 0
    for price, since, until in stood:
        first = max(since // MILLISECOND, (end - WINDOW) // MILLISECOND)
        time = max(0, min(until, end) // MILLISECOND - first)
        area, millis = area + price * time, millis + time
    found = average(past.minutes, end)
    if not millis:
        assert found is None
    else:
        assert found.believed == millis * MILLISECOND
        assert abs(found.price * millis - area) * 2 <= millis
        assert min(price for price, *_ in stood) <= found.price <= max(price for price, *_ in stood)


def test_a_minute_is_cut_where_it_ends():
    parts = list(spread(3, START + 59 * SECOND, START + 61 * SECOND))
    assert parts == [
        Minute(START // MINUTE, 1_000, 3_000),
        Minute(START // MINUTE + 1, 1_000, 3_000),
    ]
