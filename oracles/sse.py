"""Server-sent events, taken from a byte stream however it is cut."""

from typing import Final

from oracles.refusal import Reason, Refused

EVENT_BYTES_MAX: Final = 1 << 20


class EventStream:
    """Collects bytes and gives back the data of each finished event.

    Lines end in LF, CRLF or CR; several ``data:`` lines of one event are joined by a line feed; comments and other fields are
    skipped. Raises `Refused` when one event grows beyond a megabyte.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, received: bytes) -> list[bytes]:
        """The events that `received` finishes."""
        # A CR at the very end waits for what follows: it may be half of a CRLF.
        text = self._rest + received
        held = text.endswith(b"\r")
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._held += len(line)
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data, self._held = [], 0
        if self._held + len(self._rest) > EVENT_BYTES_MAX:
            raise Refused(Reason.WRONG_ENCODING, f"an event of more than {EVENT_BYTES_MAX} bytes")
        return events
