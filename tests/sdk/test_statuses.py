"""Statuses of fills as an agent hears of them: whatever comes late, twice or not at all, none goes back and all end right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpdex_sdk import messages as m
from perpdex_sdk.statuses import STATUSES, Statuses


def fill(seq):
    """A fill with the number of its record."""
    said = {
        "request": 1,
        "quote": 1,
        "market": "M",
        "role": "maker",
        "side": "buy",
        "size": "1",
        "price": "1",
    }
    return m.Fill(1, seq, 1, fill=seq, **said, fee="0", realized="0", cost="0")


@st.composite
def lives(draw):
    """What an exchange says in order, as (its marks, its message), and the fills with their sequences."""
    seq, batch, said, fills = 0, 0, [], []
    marks = [0, 0, 0, 0]
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(0, 4))):
            seq += draw(st.integers(1, 3))
            fills.append(fill(seq))
            said.append((list(marks), fills[-1]))
        after, seq, batch = marks[0], seq + 1, batch + 1
        for rank in draw(st.sampled_from([(1, 2, 3, 4), (1, 4)])):
            marks = [seq] * rank + [after] * (4 - rank)
            said.append((marks, m.Batch(batch, STATUSES[rank], after, seq)))
    return said, batch


@given(lives(), st.data())
def test_no_status_goes_back_whatever_is_missed_or_comes_again(life, data):
    said, batch = life
    statuses, told = Statuses(), {}
    heard = []
    for marks, message in said:
        if isinstance(message, m.Fill) or data.draw(st.booleans()):
            heard.append(message)
            moved = (
                statuses.heard_fill(message) if isinstance(message, m.Fill) else statuses.heard_batch(message)
            )
        else:
            # The connection was broken, and at the next one the exchange says how far all is.
            moved = statuses.heard_settlement(m.Settlement(message.batch, *marks))
        if data.draw(st.booleans()):
            again = data.draw(st.sampled_from(heard)) if heard else None
            if isinstance(again, m.Batch):
                moved = [*moved, *statuses.heard_batch(again)]
        for one in moved:
            assert STATUSES.index(one.status) > told.get(one.fill, 0)
            told[one.fill] = STATUSES.index(one.status)
    seqs = [message.seq for _, message in said if isinstance(message, m.Fill)]
    assert told == dict.fromkeys(seqs, 4)
    assert statuses.final_batch == batch


def test_a_fill_that_is_heard_of_late_has_its_status_at_once():
    statuses = Statuses()
    statuses.heard_settlement(m.Settlement(7, 90, 60, 60, 60))
    (moved,) = statuses.heard_fill(fill(70))
    assert (moved.fill, moved.status) == (70, "batched")
    assert statuses.final_batch == 6
    (moved,) = statuses.heard_batch(m.Batch(7, "final", 60, 90, ("seal",)))
    assert (moved.status, moved.signatures) == ("final", ("seal",))
    assert statuses.heard_batch(m.Batch(7, "submitted", 60, 90)) == []


def test_a_status_of_a_newer_exchange_moves_nothing_and_the_next_known_one_does():
    statuses = Statuses()
    statuses.heard_fill(fill(70))
    assert statuses.heard_batch(m.Batch(7, "postponed", 60, 90)) == []
    assert [moved.status for moved in statuses.heard_batch(m.Batch(7, "confirmed", 60, 90))] == ["confirmed"]


class Counted(int):
    """A sequence that counts how often any of them is compared."""

    compared = 0

    def __lt__(self, other):
        Counted.compared += 1
        return int(self) < int(other)

    def __le__(self, other):
        Counted.compared += 1
        return int(self) <= int(other)

    def __gt__(self, other):
        Counted.compared += 1
        return int(self) > int(other)

    def __ge__(self, other):
        Counted.compared += 1
        return int(self) >= int(other)

    def __eq__(self, other):
        Counted.compared += 1
        return int(self) == int(other)

    __hash__ = int.__hash__


@pytest.mark.parametrize("count", [100, 10_000])
def test_a_fill_costs_the_same_however_many_wait_and_news_what_it_moves(count):
    statuses, most = Statuses(), 0
    for seq in range(1, count + 1):
        before = Counted.compared
        assert statuses.heard_fill(fill(Counted(seq))) == []
        most = max(most, Counted.compared - before)
    assert 0 < most <= 4 + 2 * 2, "a look at each status, and at its neighbour in the order"
    Counted.compared = 0
    assert len(statuses.heard_batch(m.Batch(1, "submitted", 0, 10))) == 10
    assert Counted.compared <= 10 * 4 * 2 * count.bit_length()
    Counted.compared = 0
    assert statuses.heard_batch(m.Batch(1, "submitted", 0, 10)) == []
    assert Counted.compared <= 4, "nothing moves, and nobody is looked for"
    assert len(statuses.heard_settlement(m.Settlement(2, count, count, count, count))) == count
    assert not any(statuses._waiting)


def test_fills_are_told_of_in_their_order_whatever_order_they_came_in():
    statuses = Statuses()
    for seq in (30, 10, 20):
        statuses.heard_fill(fill(seq))
    assert [moved.fill for moved in statuses.heard_batch(m.Batch(1, "batched", 0, 20))] == [10, 20]
    moved = statuses.heard_batch(m.Batch(2, "final", 20, 40))
    assert [(one.fill, one.status) for one in moved] == [(10, "final"), (20, "final"), (30, "final")]
