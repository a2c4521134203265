"""When a venue last told all of an account"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    comment = "when it was last asked after everything and told, 0: not since this was kept"
    column = sa.Column("seen_at", sa.BigInteger(), nullable=False, server_default="0", comment=comment)
    op.add_column("venue_cursors", column)
    op.alter_column("venue_cursors", "seen_at", server_default=None)


def downgrade() -> None:
    op.drop_column("venue_cursors", "seen_at")
