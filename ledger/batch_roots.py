"""The Merkle root of a batch and the proofs to it, from what the ledger keeps.

A batch has as many fills as were made since the last one, which after an outage of settlement may be a million. So rows come in pieces
and hashing is done beside the event loop: whoever waits here can still say that it is alive.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.merkle import account_leaf, account_proof, batch_root, fill_leaf, fill_proof, root
from ledger.tables import batches, cuts, fills

_PACKED: Final = struct.Struct(">Qqq")
"""An account at a cut as stored: number, balance, equity; by ascending number."""
PIECE: Final = 5_000
"""Rows read at one time: some ten milliseconds of work."""


class AccountAtCut(NamedTuple):
    """An account's state at a cut, in micro-USDC."""

    account: int
    balance: int
    equity: int


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


def unpack(data: bytes) -> list[AccountAtCut]:
    return [AccountAtCut(*one) for one in _PACKED.iter_unpack(data)]


async def root_of(
    connection: AsyncConnection, batch: int, after_seq: int, seq: int, accounts: Sequence[AccountAtCut]
) -> bytes:
    """Root over the fills after `after_seq` up to `seq`, in order, and the accounts by number."""
    leaves = await _fill_leaves(connection, after_seq, seq)

    def whole() -> bytes:
        return batch_root(leaves, _account_leaves(batch, sorted(accounts)))

    return await asyncio.to_thread(whole)


async def prove_fill(connection: AsyncConnection, fill: int) -> Proof | None:
    """Proof of a fill; None when there is no such fill or no batch has taken it yet."""
    found = (await connection.execute(select(fills.c.seq).where(fills.c.fill == fill))).scalar()
    if found is None:
        return None
    wanted = _stored().where(cuts.c.seq >= found).order_by(cuts.c.seq).limit(1)
    batch = (await connection.execute(wanted)).one_or_none()
    if batch is None or batch.after_seq >= found:
        return None
    before = select(func.count()).where(fills.c.seq > batch.after_seq, fills.c.seq < found)
    index = (await connection.execute(before)).scalar_one()
    leaves = await _fill_leaves(connection, batch.after_seq, batch.seq)

    def path() -> list[tuple[bool, bytes]]:
        return fill_proof(leaves, root(_account_leaves(batch.batch, unpack(batch.accounts))), index)

    return Proof(batch.batch, leaves[index], await asyncio.to_thread(path), batch.root, batch.seal)


async def prove_account(connection: AsyncConnection, batch: int, account: int) -> Proof | None:
    """Proof of an account's balance and equity at a batch's cut; None when it is not in that batch."""
    found = (await connection.execute(_stored().where(batches.c.batch == batch))).one_or_none()
    if found is None:
        return None
    accounts = unpack(found.accounts)
    index = next((place for place, one in enumerate(accounts) if one.account == account), None)
    if index is None:
        return None
    leaves = _account_leaves(batch, accounts)
    fill_leaves = await _fill_leaves(connection, found.after_seq, found.seq)

    def path() -> list[tuple[bool, bytes]]:
        return account_proof(root(fill_leaves), leaves, index)

    return Proof(batch, leaves[index], await asyncio.to_thread(path), found.root, found.seal)


def _stored() -> Any:
    columns = (batches.c.batch, batches.c.root, batches.c.accounts, cuts.c.after_seq, cuts.c.seq, cuts.c.seal)
    return select(*columns).join(cuts, cuts.c.batch == batches.c.batch)


def _account_leaves(batch: int, accounts: Sequence[AccountAtCut]) -> list[bytes]:
    return [account_leaf(batch, *one) for one in accounts]


async def _fill_leaves(connection: AsyncConnection, after_seq: int, seq: int) -> list[bytes]:
    wanted = select(fills).where(fills.c.seq > after_seq, fills.c.seq <= seq).order_by(fills.c.seq)
    leaves: list[bytes] = []
    async with connection.stream(wanted) as rows:
        async for piece in rows.partitions(PIECE):
            leaves += await asyncio.to_thread(_leaves, piece)
    return leaves


def _leaves(rows: "Sequence[Row[Any]]") -> list[bytes]:
    return [_fill_leaf(row) for row in rows]


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
