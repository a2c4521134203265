"""The exchange as its journal tells it, made beside whoever is writing that."""

from contextlib import closing
from pathlib import Path

from matcher.apply import apply
from matcher.recovery import JournalCorrupt
from matcher.snapshot import bases, read, sequence_of, snapshots
from matcher.state import Exchange
from matcher.tail import Tail


def replayed(directory: Path, since: int, through: int) -> Exchange:
    """The state after record `through`, which is synced, made from all records after `since` at least: from the newest snapshot or
    base that is no newer, or else from an exchange of which nothing is known.

    Raises `matcher.recovery.JournalCorrupt`, and `matcher.snapshot.SnapshotUnreadable`.
    """
    images = [path for path in (*snapshots(directory), *bases(directory)) if sequence_of(path) <= since]
    state = read(max(images, key=sequence_of)) if images else Exchange()
    with closing(Tail(directory, state.seq)) as tail:
        while state.seq < through:
            records = tail.read(min(10_000, through - state.seq))
            if not records:
                raise JournalCorrupt(
                    f"{directory}: no record after {state.seq} is synced, and {through} was asked for"
                )
            for sequence, event in records:
                if sequence <= through:
                    apply(state, event)
    return state
