"""A local venue's memory: every command that changed its books, one a line, before anybody was answered."""

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Entry = TypeVar("Entry")


class Journal(Generic[Entry]):
    """The entries of earlier runs, and a place for new ones. What a kill cut short was never answered, so it is cut off."""

    def __init__(self, path: Path, kind: type[Entry]) -> None:
        self._file = path.open("a+b")
        self._file.seek(0)
        self.earlier: list[Entry] = []
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.earlier.append(msgspec.json.decode(line, type=kind))
            whole += len(line)
        self._file.truncate(whole)

    def write(self, entry: Entry) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
