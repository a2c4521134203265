"""Levels of the batches' trees, so that a proof need not make the whole tree anew"""

import struct
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.merkle import account_leaf, fill_leaf, level

revision = "0003"
down_revision = "0002"

HEIGHT = 7
FILLS = sa.text(
    "select fill, at, market, taker, maker, side, size, price, fee, taker_realized, maker_realized"
    " from fills where seq > :after and seq <= :through order by seq"
)


def upgrade() -> None:
    op.add_column(
        "batches",
        sa.Column(
            "fill_nodes", sa.LargeBinary(), comment="a level of its tree, for proofs; see ledger.batch_roots"
        ),
    )
    op.add_column(
        "batches", sa.Column("account_nodes", sa.LargeBinary(), comment="the same above the accounts")
    )
    stored = sa.text("select batch, accounts, after_seq, seq from batches join cuts using (batch)")
    for batch, accounts, after_seq, seq in op.get_bind().execute(stored).all():
        _fill_in(batch, accounts, after_seq, seq)
    op.alter_column("batches", "fill_nodes", nullable=False)
    op.alter_column("batches", "account_nodes", nullable=False)


def _fill_in(batch: int, accounts: bytes, after_seq: int, seq: int) -> None:
    connection = op.get_bind()
    rows = connection.execute(FILLS, {"after": after_seq, "through": seq})
    fill_nodes = level([_leaf(row) for row in rows], HEIGHT)
    packed = struct.Struct(">Qqq").iter_unpack(accounts)
    account_nodes = level([account_leaf(batch, *one) for one in packed], HEIGHT)
    given = {"batch": batch, "fills": b"".join(fill_nodes), "accounts": b"".join(account_nodes)}
    connection.execute(
        sa.text("update batches set fill_nodes = :fills, account_nodes = :accounts where batch = :batch"),
        given,
    )


def _leaf(row: sa.Row[Any]) -> bytes:
    numbers = (row.fill, row.at, row.market, row.taker, row.maker, row.side, row.size, row.price, row.fee)
    return fill_leaf(*numbers, (row.taker_realized, row.maker_realized))


def downgrade() -> None:
    op.drop_column("batches", "account_nodes")
    op.drop_column("batches", "fill_nodes")
