"""The Merkle root of a batch and the proofs to it, from what the ledger keeps."""

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.merkle import account_leaf, account_proof, batch_root, fill_leaf, fill_proof, root
from ledger.tables import batches, cuts, fills

_PACKED: Final = struct.Struct(">Qqq")
"""An account at a cut as stored: number, balance, equity; by ascending number."""


class AccountAtCut(NamedTuple):
    """An account's state at a cut, in micro-USDC."""

    account: int
    balance: int
    equity: int


class Proof(NamedTuple):
    """`leaf` belongs to `batch`: `core.merkle.verify(leaf, path, root)` holds, and the program stores that root."""

    batch: int
    leaf: bytes
    path: list[tuple[bool, bytes]]
    root: bytes


def pack(accounts: Sequence[AccountAtCut]) -> bytes:
    return b"".join(_PACKED.pack(*one) for one in sorted(accounts))


def unpack(data: bytes) -> list[AccountAtCut]:
    return [AccountAtCut(*one) for one in _PACKED.iter_unpack(data)]


async def root_of(
    connection: AsyncConnection, batch: int, after_seq: int, seq: int, accounts: Sequence[AccountAtCut]
) -> bytes:
    """Root over the fills after `after_seq` up to `seq`, in order, and the accounts by number."""
    leaves = [leaf for _, leaf in await _fill_leaves(connection, after_seq, seq)]
    return batch_root(leaves, _account_leaves(batch, sorted(accounts)))


async def prove_fill(connection: AsyncConnection, fill: int) -> Proof | None:
    """Proof of a fill; None when there is no such fill or no batch has taken it yet."""
    found = (await connection.execute(select(fills.c.seq).where(fills.c.fill == fill))).scalar()
    if found is None:
        return None
    wanted = _stored().where(cuts.c.seq >= found).order_by(cuts.c.seq).limit(1)
    batch = (await connection.execute(wanted)).one_or_none()
    if batch is None or batch.after_seq >= found:
        return None
    leaves = await _fill_leaves(connection, batch.after_seq, batch.seq)
    index = [number for number, _ in leaves].index(fill)
    accounts_root = root(_account_leaves(batch.batch, unpack(batch.accounts)))
    path = fill_proof([leaf for _, leaf in leaves], accounts_root, index)
    return Proof(batch.batch, leaves[index][1], path, batch.root)


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
    fill_leaves = [leaf for _, leaf in await _fill_leaves(connection, found.after_seq, found.seq)]
    return Proof(batch, leaves[index], account_proof(root(fill_leaves), leaves, index), found.root)


def _stored() -> Any:
    columns = (batches.c.batch, batches.c.root, batches.c.accounts, cuts.c.after_seq, cuts.c.seq)
    return select(*columns).join(cuts, cuts.c.batch == batches.c.batch)


def _account_leaves(batch: int, accounts: Sequence[AccountAtCut]) -> list[bytes]:
    return [account_leaf(batch, *one) for one in accounts]


async def _fill_leaves(connection: AsyncConnection, after_seq: int, seq: int) -> list[tuple[int, bytes]]:
    rows = await connection.execute(
        select(fills).where(fills.c.seq > after_seq, fills.c.seq <= seq).order_by(fills.c.seq)
    )
    return [(row.fill, _fill_leaf(row)) for row in rows]


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
