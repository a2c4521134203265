"""A journal read back tells who came out of turn, and which records do not follow from those before them."""

import pytest
from msgspec.structs import replace

from core.liquidation_events import LiquidationStarted
from matcher.image import state_hash
from matcher.recovery import replay
from stress.explained import looked_at, read_back


@pytest.fixture
def run(scenario, lived, tmp_path):
    """The report of a crash, and its records."""
    report, records = lived(scenario(accounts=150)), []
    replay(tmp_path / "journal-0", 0, lambda sequence, event: records.append((sequence, event)))
    return report, records, tmp_path / "journal-0"


def starts(records):
    return [place for place, (_, event) in enumerate(records) if isinstance(event, LiquidationStarted)]


def test_an_honest_journal_follows_and_is_in_order(run):
    report, records, directory = run
    found = read_back(directory)
    assert (found.out_of_turn, found.differing) == ([], [])
    assert state_hash(found.state) == report.state_hash
    assert found.liquidations == found.explained == len(starts(records)) > 20
    assert found.turns > found.liquidations
    few = looked_at(records, 7)
    assert 4 <= few.explained <= 7


def test_a_changed_amount_and_a_start_before_its_turn_are_told(run):
    _, records, _ = run
    place = starts(records)[3]
    sequence, event = records[place]
    changed = [*records]
    changed[place] = sequence, replace(event, equity=event.equity + 1)
    assert looked_at(changed, 100).differing == [
        f"liquidation {event.liquidation}, record {sequence}: equity: recorded {event.equity + 1}, derived {event.equity}"
    ]
    early, late = next(
        (one, other)
        for one, other in zip(starts(records), starts(records)[1:], strict=False)
        if records[one][1].at == records[other][1].at
    )
    events = [event for _, event in records]
    events.insert(early, events.pop(late))
    said = looked_at(list(enumerate(events, 1)), 1).out_of_turn
    assert f"record {early + 1} came before account {records[early][1].account}" in said
