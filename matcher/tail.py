"""Following a journal from another process, never past what its writer has synced, and never to the middle of a command."""

import os
from pathlib import Path

from core.events import Event
from matcher.records import HEADER, PAYLOAD_MAX, record_at
from matcher.recovery import JournalCorrupt, event_in
from matcher.segments import Watermark, segment_path, segments, whereabouts

_BLOCK = 4 * 1024 * 1024


class Tail:
    """Reads synced records after a sequence, in order, as they come."""

    def __init__(self, directory: Path, after: int, archive: Path | None = None) -> None:
        """`archive` has segments that were moved out of the journal."""
        self._directory = directory
        self._archive = archive
        self._watermark = Watermark(directory)
        self.sequence = after
        self._descriptor = -1
        self._path = directory
        self._offset = 0
        self._skip_until = after
        self._goes_on = False

    @property
    def synced(self) -> int:
        """The writer's last synced sequence."""
        return self._watermark.sequence

    @property
    def replaced(self) -> bool:
        """Whether what is published now is published in another file: a new tail hears it."""
        return self._watermark.replaced

    def read(self, limit: int = 10_000) -> list[tuple[int, Event]]:
        """The next records, `limit` or as many more as the last command needs to be whole; empty when none is synced yet.

        Raises `JournalCorrupt` for one that cannot be read.
        """
        found: list[tuple[int, Event]] = []
        # What is synced ends with a whole command.
        synced = self.synced
        while (len(found) < limit or self._goes_on) and self.sequence < synced:
            if self._descriptor < 0:
                self._open()
            if not self._read_block(found, min(synced, self.sequence + limit - len(found)), synced):
                self._next_segment()
        return found

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._watermark.close()

    def _open(self) -> None:
        known = dict(segments(self._archive)) if self._archive is not None else {}
        known |= dict(segments(self._directory))
        first = max((first for first in known if first <= self.sequence + 1), default=0)
        if not first:
            gone = whereabouts(self._directory)
            raise JournalCorrupt(
                f"record {self.sequence + 1} is no longer in the journal {self._directory}{gone and ': '}{gone}"
            )
        self._path = known[first]
        self._descriptor = os.open(self._path, os.O_RDONLY)
        self._offset = 0
        self._skip_until, self.sequence = self.sequence, first - 1

    def _next_segment(self) -> None:
        path = segment_path(self._directory, self.sequence + 1)
        if not path.exists() and self._archive is not None:
            path = segment_path(self._archive, self.sequence + 1)
        if not path.exists():
            raise JournalCorrupt(
                f"record {self.sequence + 1} is synced but neither in its file nor in {path}"
            )
        os.close(self._descriptor)
        self._descriptor, self._path = os.open(path, os.O_RDONLY), path
        self._offset = 0

    def _read_block(self, found: list[tuple[int, Event]], until: int, synced: int) -> bool:
        """Read on in this segment, to record `until` and the end of its command; False when it holds no next record."""
        data = self._block()
        offset, progressed = 0, False
        until = max(until, self._skip_until)
        while self.sequence < until or (self._goes_on and self.sequence < synced):
            stored = record_at(data, offset)
            if stored is None:
                break
            if stored.sequence != self.sequence + 1:
                raise JournalCorrupt(f"record {stored.sequence} where {self.sequence + 1} belongs")
            self.sequence, self._goes_on = stored.sequence, stored.goes_on
            if self.sequence > self._skip_until:
                found.append((self.sequence, event_in(stored, self._path)))
            offset, progressed = stored.end, True
        if not progressed and any(data[: HEADER.size]):
            raise JournalCorrupt(f"record {self.sequence + 1} cannot be read")
        self._offset += offset
        return progressed

    def _block(self) -> memoryview:
        """What comes next in this segment, with one whole record at least."""
        data = os.pread(self._descriptor, _BLOCK, self._offset)
        if len(data) == _BLOCK:
            length = HEADER.unpack_from(data)[0]
            if _BLOCK - HEADER.size < length <= PAYLOAD_MAX:
                data = os.pread(self._descriptor, HEADER.size + length, self._offset)
        return memoryview(data)


def lies_there(directory: Path, sequence: int) -> Event | None:
    """The event of a record, whether or not anything says that it is synced; None when the journal has none that can be read."""
    path = next((path for first, path in reversed(segments(directory)) if first <= sequence), None)
    if path is None:
        return None
    data, offset = memoryview(path.read_bytes()), 0
    while (stored := record_at(data, offset)) is not None:
        if stored.sequence == sequence:
            return event_in(stored, path)
        offset = stored.end
    return None
