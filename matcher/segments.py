"""The journal's files: preallocated segments named by their first sequence, the writer's lock, the synced watermark."""

import fcntl
import json
import mmap
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

SEGMENT_BYTES: Final = 64 * 1024 * 1024
SUFFIX: Final = ".journal"
WATERMARK: Final = "synced"
UNFINISHED: Final = "unfinished.new"
PRUNED: Final = "pruned"
"""Says of records that are no longer in the journal where they went, a line of JSON for each time."""
# Native, not "<": that one copies byte by byte, and a reader or a kill in between would find a number nobody published.
_U64: Final = struct.Struct("@Q")
_ZEROS: Final = bytes(1024 * 1024)


class JournalInUse(Exception):
    """Another process writes this journal."""


def segments(directory: Path) -> list[tuple[int, Path]]:
    """(first sequence, path) of each segment, in order."""
    return sorted((int(path.name.removesuffix(SUFFIX)), path) for path in directory.glob("*" + SUFFIX))


def whereabouts(directory: Path) -> str:
    """A sentence on where records went that are no longer in the journal; empty when all are there."""
    path = directory / PRUNED
    lines = [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []
    told, before = [], 0
    for line in lines:
        if line["through"] > before:
            went = f"moved to {line['archive']}" if line["archive"] else "deleted"
            told.append(f"records {before + 1} to {line['through']} were {went}")
            before = line["through"]
    return "; ".join(told)


def segment_path(directory: Path, first: int) -> Path:
    return directory / f"{first:020d}{SUFFIX}"


def create_segment(directory: Path, first: int, size: int) -> int:
    """A new segment filled with zeros and synced, as an open descriptor: later syncs then write data only.

    It appears whole or not at all, and takes the place of one of the same name that holds no record.
    """
    descriptor = write_zeros(directory / UNFINISHED, size)
    name_segment(directory, first)
    return descriptor


def write_zeros(path: Path, size: int) -> int:
    """A file of zeros, synced, as an open descriptor."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        while size:
            size -= os.write(descriptor, _ZEROS[:size])
            # Bit by bit: a sync of the records that has to wait for all of them would be late by a tenth of a second.
            sync(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def name_segment(directory: Path, first: int) -> None:
    """Make the unfinished file the segment that begins with record `first`."""
    (directory / UNFINISHED).rename(segment_path(directory, first))
    sync_directory(directory)


class NextSegment:
    """The next segment's zeros, written by a thread of its own while the present segment fills."""

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self._size = size
        self._thread: threading.Thread | None = None
        self._descriptor = -1

    def prepare(self) -> None:
        """Begin, unless that was done already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="next segment", daemon=True)
            self._thread.start()

    def take(self, first: int, size: int) -> int:
        """The segment that begins with record `first`, as an open descriptor; made now if none of that size was prepared."""
        prepared = self._finished()
        if prepared >= 0 and size == self._size:
            name_segment(self._directory, first)
            return prepared
        if prepared >= 0:
            os.close(prepared)
        return create_segment(self._directory, first, size)

    def close(self) -> None:
        prepared = self._finished()
        if prepared >= 0:
            os.close(prepared)

    def _finished(self) -> int:
        """The prepared file's descriptor, -1 when there is none; waits for it when it is being written."""
        if self._thread is None:
            return -1
        self._thread.join()
        self._thread = None
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor

    def _write(self) -> None:
        # What fails here fails again in `take`, where it is dealt with.
        with suppress(OSError):
            self._descriptor = write_zeros(self._directory / UNFINISHED, self._size)


def sync(descriptor: int) -> None:
    """Force a file's data to the disk itself; raises `OSError` when it is not known to be there."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(directory: Path, name: str = "lock") -> int:
    """Hold the journal for one writer until the descriptor closes; by another name, something about it. Raises `JournalInUse`."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / name, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalInUse(f"another process writes the journal in {directory}") from None
    return descriptor


def synced_through(directory: Path) -> int:
    """The watermark that the last writer left; 0 when there is none."""
    path = directory / WATERMARK
    content = path.read_bytes() if path.exists() else b""
    return int(_U64.unpack(content)[0]) if len(content) == _U64.size else 0


class Watermark:
    """The synced sequence, shared with followers in other processes through a mapped file, and with the next start.

    It is never ahead of the disk. A killed process leaves what it published, and it publishes only what a sync has returned
    for. After a crash of the machine the file holds some earlier value, as its page is written back at the kernel's leisure and
    never before the sync that its number stands for; eight aligned bytes do not tear. It may lag: the records' own headers
    then say what was synced.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / WATERMARK
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._inode = os.fstat(descriptor).st_ino
            os.ftruncate(descriptor, _U64.size)
            self._map = mmap.mmap(descriptor, _U64.size)
        finally:
            os.close(descriptor)

    @property
    def sequence(self) -> int:
        return int(_U64.unpack_from(self._map)[0])

    @property
    def replaced(self) -> bool:
        """Whether another file has its name by now, which a person may have restored or had made anew: this one says nothing more."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def publish(self, sequence: int) -> None:
        _U64.pack_into(self._map, 0, sequence)

    def close(self) -> None:
        self._map.close()
