"""Journal records: how one durable event lies on disk.

A record is a header and a msgpack payload. Header, little-endian: payload length (u32), CRC-32 of everything after itself (u32),
sequence (u64), how many records before this one were not known to be synced when it was written (u32), version (u8). A header of
zeros is space not yet written.

Under one version a record's event may only grow, at its end, by fields with defaults; enumerations may get values. Anything else,
whichever field it moves, is a new version, and the reader of the old one stays. What was written so far lies in
`tests/matcher/fixtures`, with the checksum of each file and each version's layout: files are added there and never changed.

What one command led to is one thing, however many records it takes: all but the last of them have the version's highest bit set.
"""

import struct
from typing import Final
from zlib import crc32

import msgspec

from core.events import DURABLE, Event

VERSION: Final = 1
HEADER: Final = struct.Struct("<IIQIB")
CHECKED: Final = struct.Struct("<QIB")
PAYLOAD_MAX: Final = 256 * 1024 * 1024
"""More than a record about every account ever needs: the widest has 52 bytes for each of them."""
_CHECK_AT: Final = 8
_GOES_ON: Final = 0x80

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(DURABLE)


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A record found on disk; `end` is the offset after it, `unsynced` as in the header.

    `goes_on`: the next record is of the same command, and without it this one counts for nothing.
    """

    sequence: int
    unsynced: int
    version: int
    goes_on: bool
    payload: memoryview
    end: int


def encode(sequence: int, unsynced: int, event: Event, goes_on: bool = False) -> bytes:
    """Bytes of the record of `event`; `goes_on` as in `Stored`. Raises `ValueError` for one that no reader would take."""
    checked = CHECKED.pack(sequence, unsynced, VERSION | _GOES_ON if goes_on else VERSION) + _encode(event)
    length = len(checked) - CHECKED.size
    if length > PAYLOAD_MAX:
        raise ValueError(f"journal record {sequence} would have {length} bytes, more than {PAYLOAD_MAX}")
    return struct.pack("<II", length, crc32(checked)) + checked


class RecordNewer(ValueError):
    """A whole record that this program cannot read: its checksum is right, so a newer release wrote it so."""


def decode(stored: Stored) -> Event:
    """The event in a record. Raises `RecordNewer` for a version or a kind of event that this program does not know."""
    try:
        if stored.version == VERSION:
            return _decoder.decode(stored.payload)
        why = f"it has version {stored.version}, and this release reads {VERSION}"
    except msgspec.DecodeError as error:
        why = str(error)
    raise RecordNewer(
        f"record {stored.sequence} was written by a newer release ({why}): go on with that release"
    )


def record_at(data: memoryview, offset: int) -> Stored | None:
    """The record at `offset`, or None when no whole record with a right checksum lies there."""
    start = offset + HEADER.size
    if start > len(data):
        return None
    length, checksum, sequence, unsynced, version = HEADER.unpack_from(data, offset)
    end = start + length
    if length == 0 or length > PAYLOAD_MAX or end > len(data):
        return None
    if crc32(data[offset + _CHECK_AT : end]) != checksum:
        return None
    return Stored(sequence, unsynced, version & ~_GOES_ON, version >= _GOES_ON, data[start:end], end)
