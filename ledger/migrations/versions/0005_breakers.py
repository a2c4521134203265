"""Circuit breakers: the audit trail, ends of markets, jumps of open interest"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "operator_actions",
        _number("seq"),
        _number("at"),
        _text("who", "name of the operator's credential, or exchange for a rule's own doing"),
        _text("action", "ledger.breakers.Action"),
        _number("market", "0: all of them"),
        _text("why"),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what was set, by name",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_operator_actions")),
        comment="the audit trail: never changed, only added to",
    )
    op.create_index("ix_operator_actions_market", "operator_actions", ["market", "seq"], unique=False)
    op.create_table(
        "market_ends",
        _number("market"),
        _number("seq"),
        _number("at"),
        _number("price", "ticks: the index at which every position closed"),
        _number("accounts", "that held a position"),
        _number("shared", "micro-USDC of debts that were paid"),
        _number("fund", "micro-USDC of that from the insurance fund; the rest is from those who gained"),
        _number("uncovered", "micro-USDC of debts that nobody could pay"),
        _number("forced", "1: without notice, or at an index that was not believed"),
        sa.CheckConstraint(
            "fund between 0 and shared and uncovered >= 0", name=op.f("ck_market_ends_shares")
        ),
        sa.PrimaryKeyConstraint("market", name=op.f("pk_market_ends")),
        comment="delisted markets",
    )
    op.create_table(
        "open_interest_jumps",
        _number("seq"),
        _number("at"),
        _number("market"),
        _number("lowest", "lots from which it rose"),
        _number("open_interest", "lots"),
        sa.CheckConstraint("open_interest > lowest", name=op.f("ck_open_interest_jumps_rise")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_open_interest_jumps")),
    )


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def downgrade() -> None:
    op.drop_table("open_interest_jumps")
    op.drop_table("market_ends")
    op.drop_index("ix_operator_actions_market", table_name="operator_actions")
    op.drop_table("operator_actions")
