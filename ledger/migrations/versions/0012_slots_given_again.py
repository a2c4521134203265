"""Slots on chain that were given up are given to others"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

COMMENTS = {
    "page": (
        "escrow page, -1 before one is bound",
        "escrow page, -1 before one is bound, -2 once it was closed and is another's",
    ),
    "slot": ("slot in it, -1 before one is bound", "slot in it, below 0 without one"),
}


def upgrade() -> None:
    for name, (before, after) in COMMENTS.items():
        op.alter_column("agents", name, existing_type=sa.BigInteger(), comment=after, existing_comment=before)
    op.create_index("ix_agents_place", "agents", ["page", "slot"])


def downgrade() -> None:
    op.drop_index("ix_agents_place", "agents")
    for name, (before, after) in COMMENTS.items():
        op.alter_column("agents", name, existing_type=sa.BigInteger(), comment=before, existing_comment=after)
