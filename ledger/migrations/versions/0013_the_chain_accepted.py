"""What an operator had the books take over from the chain"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table(
        "accepted_slots",
        _number("seq"),
        _number("account"),
        _number("change", "micro-USDC that its slot held more than the books had settled"),
        _number(
            "unapplied", "micro-USDC by which the chain's sum of what batches did not do for it was higher"
        ),
        _number("withdrawal", "number of the last withdrawal that was none of the exchange's, 0 for none"),
        sa.PrimaryKeyConstraint("seq", "account", name=op.f("pk_accepted_slots")),
        comment="what an operator had the books take over from the chain",
    )


def downgrade() -> None:
    op.drop_table("accepted_slots")
