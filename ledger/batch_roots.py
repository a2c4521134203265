"""The Merkle root of a batch and the proofs to it, from what the ledger keeps.

A batch has as many fills as were made since the last one, which after an outage of settlement may be a million. So rows come in pieces
and the tree is hashed beside the event loop: whoever waits here can still say that it is alive.

A proof is made on the thread that matches, so it must cost the same however large the batch is: the level of the tree that stands
`HEIGHT` above the leaves is stored with the batch, and only the leaves below one of its nodes are read.
"""

import asyncio
import struct
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.merkle import (
    account_leaf,
    account_path,
    batch_root,
    fill_leaf,
    fill_path,
    level,
    path_over,
    proof,
    root_over,
)
from ledger.tables import batches, cuts, fills

HEIGHT: Final = 7
WIDTH: Final = 2**HEIGHT
NODE: Final = 32
_PACKED: Final = struct.Struct(">Qqq")
"""An account at a cut as stored: number, balance, equity; by ascending number."""
ACCOUNT_BYTES: Final = _PACKED.size
PIECE: Final = 5_000
"""Rows read at one time: some ten milliseconds of work."""


class AccountAtCut(NamedTuple):
    """An account's state at a cut, in micro-USDC."""

    account: int
    balance: int
    equity: int


class Tree(NamedTuple):
    """What is stored of a batch's tree: its root, and the nodes `HEIGHT` levels above the fills and above the accounts."""

    root: bytes
    fill_nodes: bytes
    account_nodes: bytes


class Proof(NamedTuple):
    """`leaf` belongs to `batch`: `core.merkle.verify(leaf, path, root)` holds, and the program stores that root for a while.

    `seal` is the signature of the transaction that sealed it, in which the root stands for ever; empty before the batch is final.
    """

    batch: int
    leaf: bytes
    path: list[tuple[bool, bytes]]
    root: bytes
    seal: str


def pack(accounts: Sequence[AccountAtCut]) -> bytes:
    return b"".join(_PACKED.pack(*one) for one in sorted(accounts))


def unpack(packed: bytes) -> list[AccountAtCut]:
    return [AccountAtCut(*one) for one in _PACKED.iter_unpack(packed)]


async def tree_of(
    connection: AsyncConnection, batch: int, after_seq: int, seq: int, accounts: Sequence[AccountAtCut]
) -> Tree:
    """Tree over the fills after `after_seq` up to `seq`, in order, and the accounts by number."""
    fill_leaves: list[bytes] = []
    async with connection.stream(_fills_between(after_seq, seq)) as rows:
        async for piece in rows.partitions(PIECE):
            fill_leaves += await asyncio.to_thread(_leaves, piece)
    return await asyncio.to_thread(_tree, batch, fill_leaves, accounts)


def _leaves(rows: "Sequence[Row[Any]]") -> list[bytes]:
    return [_fill_leaf(row) for row in rows]


def _tree(batch: int, fill_leaves: Sequence[bytes], accounts: Sequence[AccountAtCut]) -> Tree:
    account_leaves = [account_leaf(batch, *one) for one in sorted(accounts)]
    fill_nodes, account_nodes = level(fill_leaves, HEIGHT), level(account_leaves, HEIGHT)
    whole = batch_root(root_over(fill_nodes), root_over(account_nodes))
    return Tree(whole, b"".join(fill_nodes), b"".join(account_nodes))


async def prove_fill(connection: AsyncConnection, fill: int) -> Proof | None:
    """Proof of a fill; None when there is no such fill or no batch has taken it yet."""
    found = (await connection.execute(select(fills.c.seq).where(fills.c.fill == fill))).scalar()
    if found is None:
        return None
    wanted = _stored().where(cuts.c.seq >= found).order_by(cuts.c.seq).limit(1)
    batch = (await connection.execute(wanted)).one_or_none()
    if batch is None or batch.after_seq >= found:
        return None
    before = select(func.count()).select_from(fills)
    before = before.where(fills.c.seq > batch.after_seq, fills.c.seq < found)
    place, offset = divmod((await connection.execute(before)).scalar_one(), WIDTH)
    near = _fills_between(batch.after_seq, batch.seq).offset(place * WIDTH).limit(WIDTH)
    leaves = _leaves((await connection.execute(near)).all())
    inside = [*proof(leaves, offset), *path_over(_nodes(batch.fill_nodes), place)]
    path = fill_path(inside, root_over(_nodes(batch.account_nodes)))
    return Proof(batch.batch, leaves[offset], path, batch.root, batch.seal)


async def prove_account(connection: AsyncConnection, batch: int | None, account: int) -> Proof | None:
    """Proof of an account's balance and equity at a batch's cut; None when it is not in that batch.

    Without `batch` it is of the newest one whose root is on chain.
    """
    sealed = select(func.max(cuts.c.batch)).where(cuts.c.seal != "").scalar_subquery()
    wanted = _stored().add_columns(batches.c.accounts)
    wanted = wanted.where(batches.c.batch == (sealed if batch is None else batch))
    found = (await connection.execute(wanted)).one_or_none()
    if found is None:
        return None
    index = place_of(found.accounts, account)
    if index is None:
        return None
    place, offset = divmod(index, WIDTH)
    near = found.accounts[place * WIDTH * _PACKED.size : (place + 1) * WIDTH * _PACKED.size]
    leaves = [account_leaf(found.batch, *one) for one in _PACKED.iter_unpack(near)]
    inside = [*proof(leaves, offset), *path_over(_nodes(found.account_nodes), place)]
    path = account_path(inside, root_over(_nodes(found.fill_nodes)))
    return Proof(found.batch, leaves[offset], path, found.root, found.seal)


def _stored() -> Any:
    of_batch = (batches.c.batch, batches.c.root, batches.c.fill_nodes, batches.c.account_nodes)
    return select(*of_batch, cuts.c.after_seq, cuts.c.seq, cuts.c.seal).join(
        cuts, cuts.c.batch == batches.c.batch
    )


def place_of(packed: bytes, account: int) -> int | None:
    """Where an account stands among the packed ones, which may be many: most of them are not even read."""
    count = len(packed) // _PACKED.size
    place = bisect_left(
        range(count), account, key=lambda at: _PACKED.unpack_from(packed, at * _PACKED.size)[0]
    )
    there = place < count and _PACKED.unpack_from(packed, place * _PACKED.size)[0] == account
    return place if there else None


def _nodes(packed: bytes) -> list[bytes]:
    return [packed[at : at + NODE] for at in range(0, len(packed), NODE)]


def _fills_between(after_seq: int, seq: int) -> "Select[Any]":
    return select(fills).where(fills.c.seq > after_seq, fills.c.seq <= seq).order_by(fills.c.seq)


def _fill_leaf(row: "Row[Any]") -> bytes:
    return fill_leaf(
        row.fill,
        row.at,
        row.market,
        row.taker,
        row.maker,
        row.side,
        row.size,
        row.price,
        row.fee,
        (row.taker_realized, row.maker_realized),
    )
