"""The bytes of a page's deltas: for each slot that moved, its number (u8) and its delta as a zigzag varint.

Zigzag puts the sign into the lowest bit: magnitude times two, plus one for a debit. A varint holds seven bits per byte, lowest
first, the top bit set on all but the last byte. Slots ascend strictly, deltas are not zero, and every number has one encoding.
"""

from collections.abc import Iterable
from typing import Final

SLOTS_PER_PAGE: Final = 105
MAGNITUDE_MAX: Final = (1 << 48) - 1
"""Largest delta in micro-USDC: what fits seven varint bytes with its sign."""
VARINT_BYTES_MAX: Final = 7


class DeltasRefused(ValueError):
    """Deltas that the program would refuse."""

    code = "deltas_refused"


def encode_deltas(deltas: Iterable[tuple[int, int]]) -> bytes:
    """Bytes of (slot, delta in micro-USDC) pairs, given in ascending slot order. At most 840 bytes."""
    out = bytearray()
    last = -1
    for slot, delta in deltas:
        if not last < slot < SLOTS_PER_PAGE:
            raise DeltasRefused(f"slot {slot} is out of order or beyond {SLOTS_PER_PAGE - 1}")
        if delta == 0 or abs(delta) > MAGNITUDE_MAX:
            raise DeltasRefused(f"the delta {delta} of slot {slot} is zero or beyond {MAGNITUDE_MAX}")
        last = slot
        out.append(slot)
        value = abs(delta) << 1 | (delta < 0)
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    if not out:
        raise DeltasRefused("a page without deltas has nothing to settle")
    return bytes(out)


def decode_deltas(data: bytes) -> list[tuple[int, int]]:
    """The (slot, delta) pairs of `data`, refusing exactly what the program refuses, but for slots that nobody has."""
    if not data:
        raise DeltasRefused("a page without deltas has nothing to settle")
    pairs: list[tuple[int, int]] = []
    at, last = 0, -1
    while at < len(data):
        slot = data[at]
        if not last < slot < SLOTS_PER_PAGE:
            raise DeltasRefused(f"slot {slot} is out of order or beyond {SLOTS_PER_PAGE - 1}")
        last = slot
        value, at = _varint(data, at + 1)
        if value < 2:
            raise DeltasRefused(f"the delta of slot {slot} is zero")
        pairs.append((slot, -(value >> 1) if value & 1 else value >> 1))
    return pairs


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise DeltasRefused("the last delta is cut off")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index:
                raise DeltasRefused("a delta is not in its shortest form")
            return value, at + index + 1
    raise DeltasRefused(f"a delta has more than {VARINT_BYTES_MAX} bytes")
