"""The journal's writer: group commit without a batching window.

Records appended during a sync go together into the next one, so a lone record waits for one sync and a crowd shares it. The records of
a command are always in one group, so the watermark never divides them and neither does the end of a segment. A write or sync that
fails for whatever reason ends the process: after it, nobody knows what the disk holds, and nothing may be acknowledged.
"""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NoReturn

from core.events import Event
from matcher.records import encode
from matcher.recovery import End
from matcher.segments import SEGMENT_BYTES, NextSegment, Watermark
from matcher.segments import sync as sync

STOPPED: Final = 74
"""Exit status of a process that stopped because memory and disk may differ: EX_IOERR of sysexits."""


def fail_stop(why: str, error: BaseException) -> NoReturn:
    """End the process at once, without closing anything: what is not on disk was not acknowledged, and a start tells the truth."""
    # Whatever fails while telling must not keep the process alive.
    with suppress(BaseException):
        traceback.print_exception(error, file=sys.stderr)
        print(f"{why} ({error!r}): stopping", file=sys.stderr, flush=True)
    os._exit(STOPPED)


class Journal:
    """Appends on the event loop, writes on a thread of its own, tells `on_synced` the last safe sequence on the loop again."""

    def __init__(
        self,
        directory: Path,
        end: End,
        loop: asyncio.AbstractEventLoop,
        on_synced: Callable[[int], None],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._directory = directory
        self._loop = loop
        self._on_synced = on_synced
        self._segment_bytes = segment_bytes
        self._next = NextSegment(directory, segment_bytes)
        self.sequence = self.synced = end.sequence
        self._descriptor = os.open(end.path, os.O_RDWR) if end.path is not None else -1
        self._offset = end.offset
        self._room = os.fstat(self._descriptor).st_size - end.offset if end.path is not None else 0
        self._buffer: list[bytes] = []
        self._scheduled = self._busy = self._closed = False
        self._groups: SimpleQueue[tuple[list[bytes], int] | None] = SimpleQueue()
        if self._descriptor >= 0:
            # A killed writer's last records may have been read back from memory only: they must be on disk before the
            # watermark and followers are told of them. Earlier segments were synced before this one was made.
            sync(self._descriptor)
        self._watermark = Watermark(directory)
        self._watermark.publish(end.sequence)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, command: Sequence[Event]) -> int:
        """Queue the records of one command, at least one; returns the last one's sequence.

        They are safe once `on_synced` names it or a later one; until then a start may find all of them or none.
        """
        left = len(command)
        for event in command:
            left -= 1
            self.sequence += 1
            self._buffer.append(encode(self.sequence, self.sequence - 1 - self.synced, event, left > 0))
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._hand_over)
        return self.sequence

    def close(self) -> None:
        """Write what is queued and stop. Callbacks of this last sync are not made: the caller reads `synced`."""
        if self._closed:
            return
        self._closed = True
        if self._buffer:
            self._groups.put((self._buffer, self.sequence))
            self._buffer = []
        self._groups.put(None)
        self._thread.join()
        self.synced = self.sequence
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._next.close()
        self._watermark.close()

    def _hand_over(self) -> None:
        self._scheduled = False
        if self._closed or not self._buffer:
            return
        self._groups.put((self._buffer, self.sequence))
        self._buffer = []
        self._busy = True

    def _run(self) -> None:
        while (group := self._groups.get()) is not None:
            records, sequence = group
            self._write(records, sequence)
            if not self._closed:
                self._loop.call_soon_threadsafe(self._done, sequence)

    def _write(self, records: list[bytes], sequence: int) -> None:
        try:
            data = b"".join(records)
            if len(data) > self._room:
                self._next_segment(sequence - len(records) + 1, len(data))
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._offset + written)
            sync(self._descriptor)
        except BaseException as error:
            fail_stop(f"the journal in {self._directory} cannot be written", error)
        self._offset += len(data)
        self._room -= len(data)
        if self._room < self._segment_bytes // 2:
            self._next.prepare()
        self._watermark.publish(sequence)

    def _next_segment(self, first: int, needed: int) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        size = max(self._segment_bytes, needed)
        self._descriptor = self._next.take(first, size)
        self._offset, self._room = 0, size

    def _done(self, sequence: int) -> None:
        if self._closed:
            return
        self._busy = False
        self.synced = sequence
        if self._buffer:
            self._hand_over()
        self._on_synced(sequence)
