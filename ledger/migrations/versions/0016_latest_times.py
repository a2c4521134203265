"""Until when an order at a venue may be sent"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    comment = "from then on it is not sent, 0: nobody said"
    column = sa.Column("not_after", sa.BigInteger(), nullable=False, server_default="0", comment=comment)
    op.add_column("venue_orders", column)
    op.alter_column("venue_orders", "not_after", server_default=None)


def downgrade() -> None:
    op.drop_column("venue_orders", "not_after")
