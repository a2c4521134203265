"""Snapshots of the durable state, so that a start replays only what came after the newest.

A base is the same of an earlier record: the state before the first record that a pruned journal still has, from which its records
are derived again as they otherwise are from nothing.
"""

import os
import struct
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import structlog

from matcher.image import dump, load
from matcher.segments import sync_directory
from matcher.state import Exchange

SUFFIX: Final = ".snapshot"
BASE_SUFFIX: Final = ".base"
UNFINISHED: Final = ".writing"
KEPT: Final = 2
_HEADER: Final = struct.Struct("<8sIQ")
_MAGIC: Final = b"PDEXSNAP"
_log = structlog.get_logger("snapshot")


class SnapshotUnreadable(Exception):
    """The file is no whole snapshot; the message says which and why."""


def save(directory: Path, state: Exchange) -> Path:
    """Write a snapshot atomically and drop all but the newest `KEPT`. Raises `OSError`."""
    path = _write(directory / f"{state.seq:020d}{SUFFIX}", dump(state))
    for old in snapshots(directory)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def save_base(directory: Path, state: Exchange) -> Path:
    """Write a base atomically; older ones stay. Raises `OSError`."""
    return _write(directory / f"{state.seq:020d}{BASE_SUFFIX}", dump(state))


def load_newest(directory: Path) -> Exchange:
    """State of the newest readable snapshot or base, or an empty exchange. A damaged one is logged and passed over."""
    for path in (*snapshots(directory), *reversed(bases(directory))):
        try:
            return read(path)
        except SnapshotUnreadable as error:
            _log.warning("snapshot unreadable, trying an older one", error=str(error))
    return Exchange()


def snapshots(directory: Path) -> list[Path]:
    """Newest first."""
    return sorted(directory.glob("*" + SUFFIX), reverse=True)


def bases(directory: Path) -> list[Path]:
    """Oldest first."""
    return sorted(directory.glob("*" + BASE_SUFFIX))


def sequence_of(path: Path) -> int:
    """The last record that the state in a file has seen, from its name."""
    return int(path.stem)


def read(path: Path) -> Exchange:
    """The state in a snapshot or base. Raises `SnapshotUnreadable`."""
    try:
        content = path.read_bytes()
        magic, checksum, length = _HEADER.unpack_from(content)
        data = content[_HEADER.size :]
        if magic != _MAGIC or length != len(data) or checksum != crc32(data):
            raise ValueError("checksum or length differs")
        return load(data)
    except (OSError, ValueError, msgspec.DecodeError, struct.error) as error:
        raise SnapshotUnreadable(f"{path}: {error}") from error


def _write(path: Path, data: bytes) -> Path:
    temporary = path.with_name(path.name + UNFINISHED)
    with temporary.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, crc32(data), len(data)) + data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)
    return path


def load_before(directory: Path, liquidation: int, first: Exchange) -> Exchange:
    """State of the newest readable snapshot from before a liquidation began, or `first` when none is as old as that."""
    for path in snapshots(directory):
        try:
            state = read(path)
        except SnapshotUnreadable as error:
            # The exchange that runs beside may have replaced it since.
            _log.warning("snapshot unreadable, trying an older one", error=str(error))
            continue
        if first.seq < state.seq and state.last_liquidation < liquidation:
            return state
    return first
