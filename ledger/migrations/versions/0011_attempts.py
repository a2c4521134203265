"""Which try of its reference signed bytes are, so that two workers never sign the same try"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "submissions",
        sa.Column("attempt", sa.Integer(), nullable=True, comment="1 for the first of its reference"),
    )
    op.execute(
        "update submissions set attempt = n.attempt from (select signature,"
        " row_number() over (partition by reference order by number) as attempt from submissions) n"
        " where submissions.signature = n.signature"
    )
    op.alter_column("submissions", "attempt", nullable=False)
    op.create_index("ix_submissions_attempt", "submissions", ["reference", "attempt"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_submissions_attempt", "submissions")
    op.drop_column("submissions", "attempt")
