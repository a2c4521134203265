"""Which account of a venue is which vault's, why a venue is doubted, and what each vault's cash adds up to"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

ACCOUNT = (
    "the venue's name of the account that it is; empty: from before this was kept, until it is next used"
)
KIND = "silent, unpriced or empty"
CASH = "the sum of what vault_cash_moves has of it, kept in the transaction that adds to that"


def upgrade() -> None:
    account = sa.Column("account", sa.Text(), nullable=False, server_default="", comment=ACCOUNT)
    op.add_column("venue_cursors", account)
    op.alter_column("venue_cursors", "account", server_default=None)
    named = sa.text("account <> ''")
    op.create_index(
        "ix_venue_cursors_account", "venue_cursors", ["venue", "account"], unique=True, postgresql_where=named
    )
    op.add_column("venue_doubts", sa.Column("kind", sa.Text(), nullable=True, comment=KIND))
    op.execute("update venue_doubts set kind = case when symbol = '' then 'silent' else 'unpriced' end")
    op.alter_column("venue_doubts", "kind", nullable=False)
    op.create_check_constraint(
        op.f("ck_venue_doubts_kind"), "venue_doubts", "kind in ('silent', 'unpriced', 'empty')"
    )
    op.alter_column(
        "venue_doubts",
        "symbol",
        comment="whose position differs; empty: the venue did not tell anything",
        existing_comment="whose position differs and has no price; empty: the venue did not tell anything",
    )
    op.create_table(
        "vault_cash",
        sa.Column("vault", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False, comment="as in vault_cash_moves"),
        sa.Column("amount", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("vault", "venue", name=op.f("pk_vault_cash")),
        comment=CASH,
    )
    op.execute(
        "insert into vault_cash (vault, venue, amount)"
        " select vault, venue, sum(amount) from vault_cash_moves group by vault, venue"
    )


def downgrade() -> None:
    op.drop_table("vault_cash")
    op.alter_column(
        "venue_doubts",
        "symbol",
        comment="whose position differs and has no price; empty: the venue did not tell anything",
        existing_comment="whose position differs; empty: the venue did not tell anything",
    )
    op.execute("delete from venue_doubts where kind = 'empty'")
    op.drop_column("venue_doubts", "kind")
    op.drop_index("ix_venue_cursors_account", "venue_cursors")
    op.drop_column("venue_cursors", "account")
