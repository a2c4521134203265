"""What the chain holds by each batch, the accounts that a comparison found different, and when money moved"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "batches",
        sa.Column(
            "settled",
            sa.LargeBinary(),
            nullable=True,
            comment="accounts whose settled amount is not their equity, as ledger.settled packs them; null: not known",
        ),
    )
    op.add_column(
        "reconciliations",
        sa.Column(
            "differences",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            server_default="[]",
            comment="the accounts about which not all agreed, with what each side said",
        ),
    )
    op.create_index("ix_reconciliations_at", "reconciliations", ["at"])
    op.create_index("ix_deposits_seq", "deposits", ["seq"])

    op.add_column(
        "postings", sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False, server_default="0")
    )
    # Every record that moves money is in somebody's stream.
    op.execute(
        "update postings set at = e.at from"
        " (select distinct on (seq) seq, (payload->>'at')::bigint as at from account_events) e where postings.seq = e.seq"
    )
    op.alter_column("postings", "at", server_default=None)
    op.create_index("ix_cuts_at", "cuts", ["at"])


def downgrade() -> None:
    op.drop_index("ix_cuts_at", table_name="cuts")
    op.drop_column("postings", "at")
    op.drop_index("ix_deposits_seq", table_name="deposits")
    op.drop_index("ix_reconciliations_at", table_name="reconciliations")
    op.drop_column("reconciliations", "differences")
    op.drop_column("batches", "settled")
