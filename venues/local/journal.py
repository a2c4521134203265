"""A local venue's memory: every command that changed its books, one a line, before anybody was answered."""

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Entry = TypeVar("Entry")


class Journal(Generic[Entry]):
    """The entries of earlier runs, and a place for new ones: what a kill cut short was never answered, so it is cut off.

    Without a file nothing is kept.
    """

    def __init__(self, path: Path | None, kind: type[Entry]) -> None:
        self.earlier: list[Entry] = []
        self._file = None if path is None else path.open("a+b")
        if self._file is None:
            return
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.earlier.append(msgspec.json.decode(line, type=kind))
            whole += len(line)
        self._file.truncate(whole)

    def write(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Nothing is kept from now on. Again, it does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
