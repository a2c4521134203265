"""The seal of a batch"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "cuts",
        sa.Column(
            "seal",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="signature of the transaction that sealed it; empty before it is final, or when nothing landed",
        ),
    )
    # What was projected before this column: the last transaction of a final batch is its seal.
    op.execute(
        "update cuts set seal = coalesce((select signature from submissions where reference = 'batch/' || cuts.batch || '/seal'"
        " and status = 'landed' order by number desc limit 1), '') where status = 4"
    )
    op.alter_column("cuts", "seal", server_default=None)


def downgrade() -> None:
    op.drop_column("cuts", "seal")
