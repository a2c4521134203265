"""Reads big-endian fields one after another and refuses to read past the end."""

from oracles.refusal import Reason, Refused


class Reader:
    """A cursor over untrusted bytes. Every read raises `Refused` with `truncated` when too few are left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise Refused(
                Reason.TRUNCATED, f"{count} bytes wanted at {self._at}, {len(self._data) - self._at} left"
            )
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def unsigned(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def signed(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big", signed=True)

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)
