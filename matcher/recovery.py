"""Reading a journal at start: every synced record comes back, a torn tail is cut, anything else stops the start.

A command whose last record is missing was torn, so the records that there are of it go too: half of a command never happened.

Two witnesses tell a torn tail from damage: records after it, which say how much was synced when they were written, and the
watermark, which says what was synced last and so speaks for the last records too.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from core.events import Event
from matcher.records import HEADER, PAYLOAD_MAX, RecordNewer, Stored, decode, record_at
from matcher.segments import WATERMARK, segments, sync, synced_through, whereabouts

_ZEROS: Final = bytes(1 << 16)


class JournalCorrupt(Exception):
    """A record that was synced cannot be read, here or by this release. The sentence says where; the journal is left as it is."""


class End(NamedTuple):
    """Where the journal ends: the last sequence, and the file and offset at which the next record goes (path None: no file)."""

    sequence: int
    path: Path | None
    offset: int


def replay(directory: Path, after: int, visit: Callable[[int, Event], None]) -> End:
    """Call `visit` with every record after sequence `after`, in order, then cut a torn tail and say where the journal ends.

    A record that cannot be read is a torn tail when neither the watermark nor a later readable record knew it to be synced; it
    was never acknowledged then, nor was the command that it belongs to. Otherwise the journal is damaged, and `JournalCorrupt` is
    raised before anything is changed; so it is when the journal ends before `after`, where the caller's snapshot already is.
    """
    synced = synced_through(directory)
    files = segments(directory)
    starts = [index for index, (first, _) in enumerate(files) if first <= after + 1]
    if files and not starts:
        gone = whereabouts(directory)
        raise JournalCorrupt(
            f"the journal in {directory} begins at record {files[0][0]}, but records from {after + 1} on are needed"
            f"{gone and ': '}{gone}"
        )
    # Without a single file a snapshot is enough only when the watermark says that no record came after it.
    complete = bool(starts) or 0 < synced <= after
    end, written = End(after if complete else 0, None, 0), 0
    remaining = files[starts[-1] :] if starts else []
    for index, (first, path) in enumerate(remaining):
        if index and first != end.sequence + 1:
            raise JournalCorrupt(f"{path} should begin at record {end.sequence + 1}")
        end, written = _read_segment(path, first, after, visit, remaining[index + 1 :])
    _refuse_if_short(directory, end, synced, after)
    if end.path is not None and written > end.offset:
        _cut(end.path, end.offset, written)
    return end


def _refuse_if_short(directory: Path, end: End, synced: int, after: int) -> None:
    where = directory if end.path is None else f"{end.path} at byte {end.offset}"
    if end.sequence < synced:
        raise JournalCorrupt(
            f"{where}: the journal can be read up to record {end.sequence} only, but record {synced} had been written safely "
            "and may have been acknowledged. Restore the journal's files from a copy, or delete the file "
            f"{directory / WATERMARK} to go on without the records after {end.sequence}. Two duties come with that: "
            "the ledger may have got further, and `perpdex ledger rebuild --journal-cut-short` must then make it anew; and the chain "
            "may be ahead, with batches and deposits that the journal then knows nothing of. Nothing was changed."
        )
    if end.sequence < after:
        raise JournalCorrupt(
            f"{where}: the journal ends at record {end.sequence}, but the snapshot in use is of record {after}. "
            "Restore the journal's files from a copy, or move newer snapshots away to go on without the records "
            f"after {end.sequence}; nothing was changed."
        )


def _read_segment(
    path: Path, first: int, after: int, visit: Callable[[int, Event], None], later: list[tuple[int, Path]]
) -> tuple[End, int]:
    """Visit the records of one segment's whole commands; where they end, and the offset after the last byte written."""
    data = memoryview(path.read_bytes())
    expected, offset = first, 0
    whole, whole_end, begun = first - 1, 0, list[Stored]()
    while (stored := record_at(data, offset)) is not None:
        if stored.sequence != expected:
            raise JournalCorrupt(
                f"{path} at byte {offset}: record {stored.sequence} where {expected} belongs"
            )
        begun.append(stored)
        offset = stored.end
        expected += 1
        if not stored.goes_on:
            for record in begun:
                if record.sequence > after:
                    visit(record.sequence, event_in(record, path))
            begun.clear()
            whole, whole_end = stored.sequence, offset
    end = End(whole, path, whole_end)
    written = _last_written(data, offset)
    if written > offset:
        _refuse_if_synced(path, data, offset, written, expected)
    if later and (later[0][0] != expected or written > end.offset):
        raise JournalCorrupt(
            f"{path} at byte {offset}: record {expected} cannot be read, but later files follow"
        )
    return end, written


def event_in(stored: Stored, path: Path) -> Event:
    """The event of a record found in a file. Raises `JournalCorrupt` for one of a newer release."""
    try:
        return decode(stored)
    except RecordNewer as error:
        raise JournalCorrupt(f"{path}: {error}") from error


def _last_written(data: memoryview, offset: int) -> int:
    """Offset after the last byte that is not zero, at or after `offset`."""
    end = len(data)
    while end > offset:
        start = max(offset, end - len(_ZEROS))
        block = bytes(data[start:end])
        # Most of a segment may be empty: comparing whole blocks costs far less than stripping byte by byte.
        if block != _ZEROS[: len(block)]:
            return start + len(block.rstrip(b"\0"))
        end = start
    return offset


def _refuse_if_synced(path: Path, data: memoryview, offset: int, written: int, expected: int) -> None:
    found = _later_record(data, offset + 1, written, expected)
    if found is not None and found.sequence - 1 - found.unsynced >= expected:
        raise JournalCorrupt(
            f"{path} at byte {offset}: record {expected} is damaged, though record {found.sequence} after it shows "
            "that it had been written safely. Restore the file from a copy; nothing was changed."
        )


def _later_record(data: memoryview, start: int, written: int, expected: int) -> Stored | None:
    """The last readable record between two offsets with a sequence after `expected`."""
    last = None
    offset = start
    while offset + HEADER.size <= written:
        length, _, sequence, _, _ = HEADER.unpack_from(data, offset)
        plausible = 0 < length <= PAYLOAD_MAX and expected < sequence <= expected + written
        found = record_at(data, offset) if plausible else None
        if found is None:
            offset += 1
        else:
            last = found
            offset = found.end
    return last


def _cut(path: Path, offset: int, written: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.pwrite(descriptor, bytes(written - offset), offset)
        sync(descriptor)
    finally:
        os.close(descriptor)
