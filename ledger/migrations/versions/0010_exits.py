"""What owners claimed without the operator, and what settlement could not do because of what they did"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table(
        "exit_claims",
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="claim:, transaction signature and index of the event in it",
        ),
        _number("seq"),
        _number("at"),
        _number("account"),
        _number("amount", "micro-USDC"),
        sa.CheckConstraint("amount > 0", name=op.f("ck_exit_claims_amount")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_exit_claims")),
        comment="what owners claimed from the escrow without the operator",
    )
    op.create_index("ix_exit_claims_account", "exit_claims", ["account", "seq"])
    op.create_index("ix_exit_claims_seq", "exit_claims", ["seq"])
    op.create_table(
        "unapplied_deltas",
        _number("seq"),
        _number("account"),
        _number("batch", "whose page did not do all of the account's delta"),
        _number("amount", "micro-USDC: above 0 held back from a credit, below 0 not taken"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_unapplied_deltas_amount")),
        sa.PrimaryKeyConstraint("seq", "account", name=op.f("pk_unapplied_deltas")),
        comment="what settlement owes, until a later batch brings it",
    )


def downgrade() -> None:
    op.drop_table("unapplied_deltas")
    op.drop_table("exit_claims")
