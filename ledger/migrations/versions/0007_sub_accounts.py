"""Isolated sub-accounts have a parent and one market"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = {
    "parent": "account whose isolated sub-account it is, and whose slot holds what it has; else 0",
    "market": "the only market that a sub-account trades; else 0",
}


def upgrade() -> None:
    for name, comment in COLUMNS.items():
        # Accounts from before are nobody's sub-account; the default is for them only.
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)
        op.add_column("agents", column)
        op.alter_column("agents", name, server_default=None)


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("agents", name)
