"""What the chain holds by each batch, and the accounts that a comparison found different"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0006"


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


def downgrade() -> None:
    op.drop_index("ix_deposits_seq", table_name="deposits")
    op.drop_index("ix_reconciliations_at", table_name="reconciliations")
    op.drop_column("reconciliations", "differences")
    op.drop_column("batches", "settled")
