"""What was refused or given up before anybody knew its side and size is kept under its client id, too"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

NEVER = "status in ('refused', 'not_sent')"
SIDE = "1 buy, -1 sell"
UNKNOWN = "0: refused or given up before that was known"


def upgrade() -> None:
    _check("side", f"side in (1, -1) or (side = 0 and {NEVER})")
    _check("size", f"filled >= 0 and (size > 0 or (size = 0 and {NEVER}))")
    op.alter_column("venue_orders", "side", comment=f"{SIDE}, {UNKNOWN}", existing_comment=SIDE)
    op.alter_column("venue_orders", "size", comment=UNKNOWN)


def downgrade() -> None:
    op.execute(sa.text("delete from venue_orders where side = 0 or size = 0"))
    _check("side", "side in (1, -1)")
    _check("size", "size > 0 and filled >= 0")
    op.alter_column("venue_orders", "side", comment=SIDE)
    op.alter_column("venue_orders", "size", comment=None)


def _check(name: str, condition: str) -> None:
    whole = op.f(f"ck_venue_orders_{name}")
    op.drop_constraint(whole, "venue_orders", type_="check")
    op.create_check_constraint(whole, "venue_orders", condition)
