"""Taking old segments out of a journal, while the exchange runs too: nothing goes that anyone may still ask the journal for.

Before a segment goes, all records are read and applied, from the last base up to the newest snapshot, which must come out as it was
written. The state where the kept records begin is left as the journal's new base. Each step is on disk before the next, so that a
kill in between leaves a journal that everyone can read, and another run finishes the work.
"""

import filecmp
import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from core.quantities import SECOND
from matcher.apply import apply
from matcher.image import dump, load
from matcher.records import HEADER, record_at
from matcher.recovery import JournalCorrupt, event_in
from matcher.segments import PRUNED, lock, segments, sync_directory, synced_through
from matcher.snapshot import SnapshotUnreadable, bases, read, save_base, sequence_of, snapshots
from matcher.state import Exchange
from matcher.tail import Tail

LOCK: Final = "prune.lock"
RECENT: Final = 100_000
"""Newest records that always stay: a start of the API reads some of them back for the agents' streams."""
COPYING: Final = ".copying"


class PruneRefused(Exception):
    """Nothing was removed; the sentence says why."""


class Need(NamedTuple):
    """Records after `after` must stay; `why` is for people."""

    after: int
    why: str


class Plan(NamedTuple):
    """Segments to go, oldest first, with all records up to `through`; `needs` in the order in which they would stop more."""

    through: int
    files: list[Path]
    needs: list[Need]


def plan(directory: Path, needs: Iterable[Need], before: int) -> Plan:
    """What may go: whole segments whose records all came before the instant `before` (nanoseconds) and that nobody needs.

    Raises `PruneRefused`, `JournalCorrupt`.
    """
    older = snapshots(directory)[1:]
    if not older:
        raise PruneRefused(
            f"{directory} has no two snapshots yet: if the only one were damaged, a start would need every record"
        )
    all_needs = sorted(
        [
            *needs,
            Need(sequence_of(older[-1]), "a start from the older snapshot, should the newest be damaged"),
            Need(max(0, synced_through(directory) - RECENT), f"the newest {RECENT:,} records, for a start"),
        ]
    )
    files: list[Path] = []
    through = 0
    for (_, path), (following, next_path) in pairwise(segments(directory)):
        if following - 1 > all_needs[0].after:
            break
        if began(next_path) > before:
            all_needs.insert(0, Need(through, "the days that are to be kept"))
            break
        files.append(path)
        through = following - 1
    return Plan(through, files, all_needs)


def began(path: Path) -> int:
    """Instant of a segment's first record, in nanoseconds. Raises `JournalCorrupt`."""
    with path.open("rb") as file:
        header = file.read(HEADER.size)
        length = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
        stored = record_at(memoryview(header + file.read(length)), 0)
    if stored is None:
        raise JournalCorrupt(f"{path} does not begin with a record")
    return event_in(stored, path).at


def carry_out(directory: Path, planned: Plan, archive: Path | None) -> None:
    """Prove that the records can go, leave the base, then move the segments to `archive` or, when there is none, delete them.

    Raises `PruneRefused`, `JournalCorrupt`, `JournalInUse` while another one prunes, and `OSError`: the rest can then be done again.
    """
    if archive is not None and archive.resolve().is_relative_to(directory.resolve()):
        raise PruneRefused(f"{archive} is in the journal's own directory")
    held = lock(directory, LOCK)
    try:
        superseded = bases(directory)
        base = save_base(directory, _proven(directory, planned.through))
        _note(directory, planned.through, archive)
        for path in [*planned.files, *(old for old in superseded if old != base)]:
            if archive is not None:
                _copy(path, archive)
            path.unlink()
            sync_directory(directory)
    finally:
        os.close(held)


def origin(directory: Path, archive: Path | None = None) -> Exchange:
    """The state before the first record that is there: empty, or the base's. Raises `JournalCorrupt` when there is none that fits."""
    places = [directory] if archive is None else [archive, directory]
    first = min((first for place in places for first, _ in segments(place)), default=1)
    if first == 1:
        return Exchange()
    for path in sorted((path for place in places for path in bases(place)), key=sequence_of):
        if sequence_of(path) >= first - 1:
            try:
                return read(path)
            except SnapshotUnreadable as error:
                raise JournalCorrupt(str(error)) from error
    raise JournalCorrupt(f"{directory} begins at record {first}, and no base says what was before it")


def _proven(directory: Path, through: int) -> Exchange:
    """The state after record `through` or a later one, from which the newest snapshot follows."""
    newest = snapshots(directory)[0]
    # A run that was killed may have left a base that is further on already.
    state = origin(directory)
    _advance(directory, state, through)
    there = dump(state)
    _advance(directory, state, sequence_of(newest))
    try:
        same = dump(read(newest)) == dump(state)
    except SnapshotUnreadable as error:
        raise PruneRefused(f"the newest snapshot cannot be read: {error}") from error
    if not same:
        raise PruneRefused(f"{newest} is not what the journal's records come to: keep all of both")
    return load(there)


def _advance(directory: Path, state: Exchange, until: int) -> None:
    with closing(Tail(directory, state.seq)) as tail:
        while state.seq < until:
            records = tail.read(min(10_000, until - state.seq))
            if not records:
                raise PruneRefused(f"the journal in {directory} is safe up to record {tail.synced} only")
            for _, event in records:
                apply(state, event)


def _note(directory: Path, through: int, archive: Path | None) -> None:
    """Write down where the records went, before they go."""
    line = {
        "through": through,
        "at": time.time_ns() // SECOND,
        "archive": str(archive.resolve()) if archive is not None else "",
    }
    with (directory / PRUNED).open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def _copy(path: Path, archive: Path) -> None:
    """Have a synced and compared copy in the archive, under its own name from when it is whole."""
    archive.mkdir(parents=True, exist_ok=True)
    target = archive / path.name
    if not target.exists():
        unfinished = archive / (path.name + COPYING)
        with path.open("rb") as source, unfinished.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
        unfinished.rename(target)
        sync_directory(archive)
    if not filecmp.cmp(path, target, shallow=False):
        raise PruneRefused(f"{target} is there already and is another file than {path}, which stays")
