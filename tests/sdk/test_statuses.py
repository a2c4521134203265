"""Statuses of fills as an agent hears of them: whatever comes late, twice or not at all, none goes back and all end right."""

from hypothesis import given
from hypothesis import strategies as st

from perpdex_sdk import messages as m
from perpdex_sdk.statuses import STATUSES, Statuses


@st.composite
def lives(draw):
    """What an exchange says in order, as (its marks, its message), and the fills with their sequences."""
    seq, batch, said, fills = 0, 0, [], []
    marks = [0, 0, 0, 0]
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(0, 4))):
            seq += draw(st.integers(1, 3))
            fills.append(m.Fill(1, seq, 1, fill=seq, request=1, quote=1, market="M", role="maker", side="buy",
                                size="1", price="1", fee="0", realized="0", cost="0"))  # fmt: skip
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
    fill = m.Fill(1, 70, 1, fill=5, request=1, quote=1, market="M", role="maker", side="buy",
                  size="1", price="1", fee="0", realized="0", cost="0")  # fmt: skip
    (moved,) = statuses.heard_fill(fill)
    assert (moved.fill, moved.status) == (5, "batched")
    assert statuses.final_batch == 6
    (moved,) = statuses.heard_batch(m.Batch(7, "final", 60, 90, ("seal",)))
    assert (moved.status, moved.signatures) == ("final", ("seal",))
    assert statuses.heard_batch(m.Batch(7, "submitted", 60, 90)) == []


def test_a_status_of_a_newer_exchange_moves_nothing_and_the_next_known_one_does():
    statuses = Statuses()
    statuses.heard_fill(m.Fill(1, 70, 1, fill=5, request=1, quote=1, market="M", role="maker", side="buy",
                               size="1", price="1", fee="0", realized="0", cost="0"))  # fmt: skip
    assert statuses.heard_batch(m.Batch(7, "postponed", 60, 90)) == []
    assert [moved.status for moved in statuses.heard_batch(m.Batch(7, "confirmed", 60, 90))] == ["confirmed"]
