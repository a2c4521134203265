"""The journal's files: preallocated segments named by their first sequence, the writer's lock, the synced watermark."""

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final

SEGMENT_BYTES: Final = 64 * 1024 * 1024
SUFFIX: Final = ".journal"
WATERMARK: Final = "synced"
# Native, not "<": that one copies byte by byte, and a reader or a kill in between would find a number nobody published.
_U64: Final = struct.Struct("@Q")
_ZEROS: Final = bytes(1024 * 1024)


class JournalInUse(Exception):
    """Another process writes this journal."""


def segments(directory: Path) -> list[tuple[int, Path]]:
    """(first sequence, path) of each segment, in order."""
    return sorted((int(path.name.removesuffix(SUFFIX)), path) for path in directory.glob("*" + SUFFIX))


def segment_path(directory: Path, first: int) -> Path:
    return directory / f"{first:020d}{SUFFIX}"


def create_segment(directory: Path, first: int, size: int) -> int:
    """A new segment filled with zeros and synced, as an open descriptor: later syncs then write data only.

    It appears whole or not at all, and takes the place of one of the same name that holds no record.
    """
    path = segment_path(directory, first)
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    left = size
    while left:
        left -= os.write(descriptor, _ZEROS[:left])
    sync(descriptor)
    unfinished.rename(path)
    sync_directory(directory)
    return descriptor


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


def lock(directory: Path) -> int:
    """Hold the journal for one writer until the descriptor closes. Raises `JournalInUse`."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
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
        descriptor = os.open(directory / WATERMARK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.ftruncate(descriptor, _U64.size)
            self._map = mmap.mmap(descriptor, _U64.size)
        finally:
            os.close(descriptor)

    @property
    def sequence(self) -> int:
        return int(_U64.unpack_from(self._map)[0])

    def publish(self, sequence: int) -> None:
        _U64.pack_into(self._map, 0, sequence)

    def close(self) -> None:
        self._map.close()
