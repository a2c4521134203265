"""Funding: paid hours of each market, and who paid what"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "funding_rates",
        _number("market"),
        _number("hour", "hours since the Unix epoch: the hour that ended then"),
        _number("basis", "core.funding_hour.Basis"),
        _number("samples", "premiums sampled in it"),
        _number("premium", "their mean, for eight hours"),
        _number("makers", "owners whose quotes stood in it"),
        _number("skew", "net lots of those who made no quotes"),
        _number("open_interest", "lots, at its end"),
        _number("rate", "for eight hours; positive: longs pay"),
        _number("hourly", "what was charged"),
        _number("after", "from where a rate that follows the skew goes on"),
        _number("index_price", "ticks: what the notional was valued at"),
        _number("accounts", "that paid or received"),
        _number("paid", "micro-USDC of all who paid"),
        _number("treasury", "micro-USDC: share of what makers received"),
        _number("insurance", "micro-USDC: what rounding left"),
        _number("seq"),
        _number("at", "when it was paid, which may be late"),
        sa.CheckConstraint("basis between 1 and 3", name=op.f("ck_funding_rates_basis")),
        sa.CheckConstraint(
            "paid >= 0 and treasury >= 0 and insurance >= 0", name=op.f("ck_funding_rates_shares")
        ),
        sa.PrimaryKeyConstraint("market", "hour", name=op.f("pk_funding_rates")),
    )
    op.create_index("ix_funding_rates_seq", "funding_rates", ["seq"], unique=True)
    op.create_table(
        "funding_payments",
        _number("account"),
        _number("seq", "of the hour's record"),
        _number("market"),
        _number("hour"),
        _number("amount", "micro-USDC paid; negative was received"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_funding_payments_amount")),
        sa.PrimaryKeyConstraint("account", "seq", name=op.f("pk_funding_payments")),
    )


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def downgrade() -> None:
    op.drop_table("funding_payments")
    op.drop_index("ix_funding_rates_seq", table_name="funding_rates")
    op.drop_table("funding_rates")
