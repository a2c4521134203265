"""A place for what is measured on disk, and the floor under it: bytes written and forced to the disk with nothing around."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from matcher.segments import SEGMENT_BYTES, sync, write_zeros

HERE: Final = Path(__file__).parents[1]


def scratch() -> "TemporaryDirectory[str]":
    """A directory beside the code: a temporary one may be kept in memory, where a sync costs nothing."""
    home = HERE / ".bench"
    home.mkdir(exist_ok=True)
    return TemporaryDirectory(dir=home)


class Floor:
    """A file to write to at its next place. `preallocated`: over zeros that are there already, as a journal does; else at its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def write(self, data: bytes) -> int:
        """Write and sync with the journal's own call; nanoseconds that it took."""
        started = time.perf_counter_ns()
        os.pwrite(self._descriptor, data, self._offset)
        sync(self._descriptor)
        taken = time.perf_counter_ns() - started
        self._offset += len(data)
        return taken


@contextmanager
def floor(directory: Path, *, preallocated: bool) -> Iterator[Floor]:
    descriptor = write_zeros(directory / f"floor-{preallocated}", SEGMENT_BYTES if preallocated else 0)
    try:
        yield Floor(descriptor)
    finally:
        os.close(descriptor)
