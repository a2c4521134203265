"""Merkle roots of settlement batches: SHA-256, with leaves and nodes told apart, so that neither can pass for the other.

A leaf hashes 0x00 and its bytes, a node 0x01 and its two children. A node without a partner moves up as it is. Integers in leaves are
big-endian, signed ones in two's complement.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

EMPTY: Final = bytes(32)
"""Root of no leaves."""
_FILL: Final = struct.Struct(">cQQQQQbQQQqq")
_ACCOUNT: Final = struct.Struct(">cQQqq")


def fill_leaf(
    fill: int,
    at: int,
    market: int,
    taker: int,
    maker: int,
    side: int,
    size: int,
    price: int,
    fee: int,
    realized: tuple[int, int],
) -> bytes:
    """Bytes of a fill: ``F``, then its fields in this order; `realized` is the taker's and the maker's, in micro-USDC."""
    return _FILL.pack(b"F", fill, at, market, taker, maker, side, size, price, fee, *realized)


def account_leaf(batch: int, account: int, balance: int, equity: int) -> bytes:
    """Bytes of an account's state at a cut: ``A``, batch, account, balance and equity in micro-USDC."""
    return _ACCOUNT.pack(b"A", batch, account, balance, equity)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over `leaves` in their order."""
    return root_over(level(leaves, 0))


def level(leaves: Sequence[bytes], height: int) -> list[bytes]:
    """The nodes `height` levels above `leaves`, in order: each is the root over the 2**height leaves at its place."""
    found = [_leaf(leaf) for leaf in leaves]
    for _ in range(height):
        found = _above(found)
    return found


def root_over(nodes: Sequence[bytes]) -> bytes:
    """The root over one whole level of nodes."""
    if not nodes:
        return EMPTY
    found = list(nodes)
    while len(found) > 1:
        found = _above(found)
    return found[0]


def batch_root(fills_root: bytes, accounts_root: bytes) -> bytes:
    """Root of a settlement batch: the node over the root of its fills on the left and that of its accounts on the right."""
    return _node(fills_root, accounts_root)


def fill_path(inside: Sequence[tuple[bool, bytes]], accounts_root: bytes) -> list[tuple[bool, bytes]]:
    """Path from a fill to the batch's root, of which `inside` leads to the root of its fills."""
    return [*inside, (False, accounts_root)]


def account_path(inside: Sequence[tuple[bool, bytes]], fills_root: bytes) -> list[tuple[bool, bytes]]:
    """Path from an account to the batch's root, of which `inside` leads to the root of its accounts."""
    return [*inside, (True, fills_root)]


def proof(leaves: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """Path from leaf `index` to the root, as (the sibling stands on the left, the sibling). Raises `IndexError`."""
    return path_over(level(leaves, 0), index)


def path_over(nodes: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """Path from node `index` of one whole level to the root. Raises `IndexError`."""
    if not 0 <= index < len(nodes):
        raise IndexError(f"no place {index} among {len(nodes)}")
    found, path = list(nodes), []
    while len(found) > 1:
        sibling = index ^ 1
        if sibling < len(found):
            path.append((sibling < index, found[sibling]))
        found = _above(found)
        index //= 2
    return path


def verify(leaf: bytes, path: Sequence[tuple[bool, bytes]], expected: bytes) -> bool:
    """Whether `leaf` with its `path` leads to the root `expected`."""
    found = _leaf(leaf)
    for on_left, sibling in path:
        found = _node(sibling, found) if on_left else _node(found, sibling)
    return found == expected


def _above(level: list[bytes]) -> list[bytes]:
    pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return pairs + level[len(pairs) * 2 :]


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
