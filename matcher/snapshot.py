"""Snapshots of the durable state, so that a start replays only what came after the newest.

Snapshots bound a start's time, not the journal's size: segments are kept for good while the exchange runs. The ledger can be
rebuilt from the journal alone, which takes every record from the first one on, and followers do not tell the engine how far they
have read. Whoever has archived the segments and knows every follower's position may `prune` by hand.
"""

import os
import struct
import threading
from collections.abc import Iterator
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
UNFINISHED: Final = ".writing"
KEPT: Final = 2
_HEADER: Final = struct.Struct("<8sIQ")
_MAGIC: Final = b"PDEXSNAP"
_log = structlog.get_logger("snapshot")


def save(directory: Path, state: Exchange) -> Path:
    """Write a snapshot atomically and drop all but the newest `KEPT`. Raises `OSError`."""
    return _write(directory, state.seq, dump(state))


class Snapshots:
    """Takes snapshots while the exchange runs: dumped on the event loop, written and synced by a thread.

    A dump must see the state between two commands. It holds the loop up for about 10 ms a megabyte, once in `every` records. A fork
    would spare that pause, but copies a process full of threads together with the writer's lock: a child that outlives its
    killed parent would keep the next start out.
    """

    def __init__(self, directory: Path, state: Exchange, taken: int, every: int) -> None:
        """`taken` is the sequence of the newest snapshot there is. Raises `OSError`."""
        for unfinished in directory.glob("*" + UNFINISHED):
            unfinished.unlink()
        self._directory = directory
        self._state = state
        self._taken = taken
        self._every = every
        self._image: bytes | None = None
        self._thread: threading.Thread | None = None

    def synced(self, sequence: int) -> None:
        """Go on with the work, on the loop and between commands, now that the journal is safe up to `sequence`."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._image is None and self._state.seq - self._taken >= self._every:
            self._taken, self._image = self._state.seq, dump(self._state)
        # Memory runs ahead of the disk: a snapshot of records that a crash then takes back would stop the next start.
        if self._image is not None and self._taken <= sequence:
            self._thread = threading.Thread(
                target=self._save, args=(self._taken, self._image), name="snapshot", daemon=True
            )
            self._image = None
            self._thread.start()

    def close(self) -> None:
        """Wait for the snapshot being written."""
        if self._thread is not None:
            self._thread.join()

    def _save(self, sequence: int, data: bytes) -> None:
        try:
            _write(self._directory, sequence, data)
        except OSError as error:
            # Nothing is lost without it but time at the next start; the next one is due after as many records again.
            _log.warning("snapshot not written", sequence=sequence, error=str(error))


def _write(directory: Path, sequence: int, data: bytes) -> Path:
    path = directory / f"{sequence:020d}{SUFFIX}"
    temporary = path.with_suffix(UNFINISHED)
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
    return next(_readable(directory), None) or Exchange()


def load_before(directory: Path, liquidation: int) -> Exchange:
    """State of the newest readable snapshot from before a liquidation began, or an empty exchange when none is as old as that."""
    before = (state for state in _readable(directory) if state.last_liquidation < liquidation)
    return next(before, None) or Exchange()


def _readable(directory: Path) -> Iterator[Exchange]:
    """Snapshots' states, newest first."""
    for path in _snapshots(directory):
        try:
            yield _read(path)
        except (FileNotFoundError, ValueError, msgspec.DecodeError, struct.error) as error:
            # Not found: the exchange that runs beside has replaced it since.
            _log.warning("snapshot unreadable, trying an older one", path=str(path), error=str(error))


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
