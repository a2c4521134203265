"""The other floor: a record as long as a fill's written to a file and forced to the disk, with nothing around it."""

import os
import time
from pathlib import Path
from typing import Final

RECORD: Final = b"\x01" * 300
PREALLOCATED: Final = bytes(16 * 1024 * 1024)


def sync_times(directory: Path, writes: int, *, preallocated: bool) -> list[int]:
    """Nanoseconds of each write with its `fdatasync`: over zeros that are there already, as a journal does, or at the end."""
    descriptor = os.open(directory / f"floor-{preallocated}", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        if preallocated:
            os.write(descriptor, PREALLOCATED)
            os.fdatasync(descriptor)
        times = []
        for number in range(writes):
            started = time.perf_counter_ns()
            os.pwrite(descriptor, RECORD, number * len(RECORD))
            os.fdatasync(descriptor)
            times.append(time.perf_counter_ns() - started)
        return times
    finally:
        os.close(descriptor)
