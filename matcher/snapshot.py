"""Snapshots of the durable state, so that a start replays only what came after the newest."""

import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import structlog

from matcher.image import dump, load
from matcher.segments import segments, sync_directory
from matcher.state import Exchange

SUFFIX: Final = ".snapshot"
KEPT: Final = 2
_HEADER: Final = struct.Struct("<8sIQ")
_MAGIC: Final = b"PDEXSNAP"
_log = structlog.get_logger("snapshot")


def save(directory: Path, state: Exchange) -> Path:
    """Write a snapshot atomically and drop all but the newest `KEPT`. Raises `OSError`."""
    data = dump(state)
    path = directory / f"{state.seq:020d}{SUFFIX}"
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, crc32(data), len(data)) + data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(directory)
    for old in _snapshots(directory)[KEPT:]:
        old.unlink()
    return path


def load_newest(directory: Path) -> Exchange:
    """State of the newest readable snapshot, or an empty exchange. A damaged one is logged and passed over."""
    for path in _snapshots(directory):
        try:
            return _read(path)
        except (ValueError, msgspec.DecodeError, struct.error) as error:
            _log.warning("snapshot unreadable, trying an older one", path=str(path), error=str(error))
    return Exchange()


def prune(directory: Path, needed_after: int) -> list[Path]:
    """Delete segments whose records are all at or before both `needed_after` and the oldest kept snapshot; returns them."""
    snapshots = _snapshots(directory)
    if not snapshots:
        return []
    keep_after = min(needed_after, int(snapshots[-1].name.removesuffix(SUFFIX)))
    files = segments(directory)
    dropped = [path for (_, path), (following, _) in pairwise(files) if following - 1 <= keep_after]
    for path in dropped:
        path.unlink()
    return dropped


def _snapshots(directory: Path) -> list[Path]:
    return sorted(directory.glob("*" + SUFFIX), reverse=True)


def _read(path: Path) -> Exchange:
    content = path.read_bytes()
    magic, checksum, length = _HEADER.unpack_from(content)
    data = content[_HEADER.size :]
    if magic != _MAGIC or length != len(data) or checksum != crc32(data):
        raise ValueError("checksum or length differs")
    return load(data)
