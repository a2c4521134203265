"""Cursors over lists that can only be asked for from an instant on: everything once, however it is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.pages import STUCK, newer

STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 2), st.booleans()), max_size=20
)


def at(row):
    return row["time"]


def name(row):
    return row["id"]


@given(STEPS)
def test_every_row_is_told_once_and_in_order(steps):
    """Rows come at the last instant or later; who asks gets them from the cursor's instant on, some of them twice."""
    rows, told, cursor, instant = [], [], "", 1_000
    for later, count, times, ask in steps:
        instant += later
        rows += [{"time": instant, "id": f"r{len(rows) + number}"} for number in range(count)]
        if ask:
            since = int(cursor.partition("|")[0] or 0)
            answer = [row for row in rows if at(row) >= since for _ in range(times)]
            found, cursor = newer(answer, cursor, at, name)
            told += found
            assert newer(answer, cursor, at, name) == ([], cursor)
    found, cursor = newer(rows, cursor, at, name)
    assert told + found == rows


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=30))
def test_a_row_that_comes_late_is_told_once_as_well(steps):
    """Each may come up to six instants after its own."""
    coming, instant = [], 1_000
    for number, (later, late, ask) in enumerate(steps):
        instant += later
        coming.append((instant + late, {"time": instant, "id": str(number)}, ask))
    told, cursor = [], ""
    for now in range(1_000, instant + 7):
        listed = [row for listed_at, row, _ in coming if listed_at <= now]
        if any(ask for listed_at, _, ask in coming if listed_at == now):
            since = int(cursor.partition("|")[0] or 0)
            answer = [row for row in listed if at(row) >= since]
            found, cursor = newer(answer, cursor, at, name, late=6)
            told += found
            assert newer(answer, cursor, at, name, late=6) == ([], cursor)
    told += newer([row for _, row, _ in coming], cursor, at, name, late=6)[0]
    assert sorted(told, key=name) == sorted((row for _, row, _ in coming), key=name)


@given(STEPS, st.integers(1, 4))
def test_a_list_that_is_cut_off_is_gone_through(steps, limit):
    rows, instant = [], 0
    for later, count, _, _ in steps:
        instant += later + 1
        rows += [{"time": instant, "id": f"r{len(rows) + number}"} for number in range(min(count, limit))]
    told, cursor = [], ""
    while True:
        since = int(cursor.partition("|")[0] or 0)
        # A page holds an instant at least, as those of venues do many times over, and the next row.
        found, cursor = newer([row for row in rows if at(row) >= since][: 2 * limit], cursor, at, name)
        if not found:
            break
        told += found
    assert told == rows


@given(st.lists(st.integers(0, 5), max_size=20))
def test_a_list_in_any_order_is_told_from_its_beginning(instants):
    rows = [{"time": instant, "id": str(number)} for number, instant in enumerate(instants)]
    found, _ = newer(rows, "", at, name)
    assert [at(row) for row in found] == sorted(instants)
    assert len({name(row) for row in found}) == len(rows)


def test_an_instant_that_no_page_holds_is_told():
    rows = [{"time": 5, "id": str(number)} for number in range(STUCK)]
    found, cursor = newer(rows, "", at, name)
    assert len(found) == STUCK
    with pytest.raises(ValueError, match="no way behind"):
        newer(rows, cursor, at, name)


def test_many_rows_that_may_be_late_are_no_page_that_ends_too_soon():
    rows = [{"time": 5 + number % 20, "id": str(number)} for number in range(STUCK)]
    found, cursor = newer(rows, "", at, name, late=30)
    assert len(found) == STUCK
    assert newer(rows, cursor, at, name, late=30) == ([], cursor)


def test_a_cursor_that_is_none():
    with pytest.raises(ValueError, match="invalid literal"):
        newer([], "yesterday", at, name)
