"""Whether the journal's disk has room: below a floor new requests are refused, long before a record finds no place."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.quantities import SECOND
from matcher import commands as c

FREE_MIN: Final = 1_000_000_000
"""Bytes: the next segments and snapshots, and time for a person to come."""
LOOK_EVERY: Final = SECOND

_WAITING: Final = frozenset({c.OpenRequest, c.RegisterAgent, c.OpenSubAccount})


def free_bytes(directory: Path) -> int:
    """What this user may still write to the directory's disk. Raises `OSError`."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


class Room:
    """Looks at the disk when it is asked, and no more often than once in `LOOK_EVERY`."""

    def __init__(
        self, directory: Path, free_min: int = FREE_MIN, look: Callable[[Path], int] = free_bytes
    ) -> None:
        """Room is short below `free_min` bytes. Raises `OSError`."""
        self._directory = directory
        self.free_min = free_min
        self._look = look
        self._free = look(directory)
        self._looked = time.monotonic_ns()

    @property
    def free(self) -> int:
        """Bytes free on the journal's disk."""
        now = time.monotonic_ns()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            try:
                self._free = self._look(self._directory)
            except OSError:
                # A disk that cannot be asked is none to write to.
                self._free = 0
        return self._free

    @property
    def short(self) -> bool:
        return self.free < self.free_min

    def refuses(self, command: c.Command) -> bool:
        """Whether `command` waits for room: a new agent, or a request that may add risk. Quotes pass: what reduces needs them."""
        if type(command) not in _WAITING:
            return False
        return self.short and not (isinstance(command, c.OpenRequest) and command.reduce_only)
