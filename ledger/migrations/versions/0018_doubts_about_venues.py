"""What venues do not tell of vaults, and positions that nobody knows a price of"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

MOVES = "trade: price of what was bought or sold; fee; "
DIFFERENCE = "difference: price of what the venue has and no fill told"
BEFORE = f"{MOVES}funding; {DIFFERENCE}"
AFTER = f"{MOVES}{DIFFERENCE}; else what moved it there without a fill, as funding"
BOOKED = "that the difference was booked at"


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    op.alter_column("vault_cash_moves", "kind", comment=AFTER, existing_comment=BEFORE)
    op.alter_column("venue_differences", "price", comment=BOOKED)
    op.create_table(
        "venue_doubts",
        _text("vault"),
        _text("venue"),
        _text("symbol", "whose position differs and has no price; empty: the venue did not tell anything"),
        _text("sentence"),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False, comment="since when"),
        sa.PrimaryKeyConstraint("vault", "venue", "symbol", name=op.f("pk_venue_doubts")),
        comment="why nobody deals with a vault; gone when it is told or priced",
    )


def downgrade() -> None:
    op.drop_table("venue_doubts")
    op.alter_column("venue_differences", "price", comment=f"{BOOKED}, 0 when nobody knew one")
    op.alter_column("vault_cash_moves", "kind", comment=BEFORE)
