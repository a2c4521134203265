"""Requests that ended without a fill are found by their age, to be forgotten"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index(
        "ix_requests_unfilled", "requests", ["at"], unique=False, postgresql_where=sa.text("filled = 0")
    )


def downgrade() -> None:
    op.drop_index("ix_requests_unfilled", table_name="requests")
