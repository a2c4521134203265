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
    if not leaves:
        return EMPTY
    level = [_leaf(leaf) for leaf in leaves]
    while len(level) > 1:
        level = _above(level)
    return level[0]


def batch_root(fills: Sequence[bytes], accounts: Sequence[bytes]) -> bytes:
    """Root of a settlement batch: the node over the root of its fills on the left and that of its accounts on the right."""
    return _node(root(fills), root(accounts))


def fill_proof(fills: Sequence[bytes], accounts_root: bytes, index: int) -> list[tuple[bool, bytes]]:
    """Path from fill `index` to the batch's root. Raises `IndexError`."""
    return [*proof(fills, index), (False, accounts_root)]


def account_proof(fills_root: bytes, accounts: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """Path from account `index` to the batch's root. Raises `IndexError`."""
    return [*proof(accounts, index), (True, fills_root)]


def proof(leaves: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """Path from leaf `index` to the root, as (the sibling stands on the left, the sibling). Raises `IndexError`."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    level, path = [_leaf(leaf) for leaf in leaves], []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append((sibling < index, level[sibling]))
        level = _above(level)
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
