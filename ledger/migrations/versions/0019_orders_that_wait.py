"""Orders that have not ended are found without reading those that have"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_index(
        "ix_venue_orders_waiting",
        "venue_orders",
        ["vault", "venue"],
        postgresql_where=sa.text("status in ('accepted', 'sent', 'open')"),
    )


def downgrade() -> None:
    op.drop_index("ix_venue_orders_waiting", table_name="venue_orders")
