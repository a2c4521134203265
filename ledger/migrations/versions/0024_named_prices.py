"""Prices that operators name for legs that have none"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

WHO = "name of the operator's credential"
ENDED_AT = "the instant of a snapshot that had another price, or when it was withdrawn; 0: neither"
ENDED_BY = "who withdrew it; empty where there was a price again"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table(
        "nav_named_prices",
        sa.Column(
            "number", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="order of naming"
        ),
        _text("venue"),
        _text("symbol"),
        _text("vault", "in whose snapshot nobody knew one"),
        _number("price", "1e-8 of a dollar; 0: it is lost"),
        _text("who", WHO),
        _text("why"),
        _number("at"),
        _number("ended_at", ENDED_AT),
        _text("ended_by", ENDED_BY),
        sa.CheckConstraint("price >= 0", name=op.f("ck_nav_named_prices_price")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_nav_named_prices")),
        comment="the newest of a leg counts, until it is ended or a day old",
    )
    op.create_index("ix_nav_named_prices_leg", "nav_named_prices", ["venue", "symbol", "number"])


def downgrade() -> None:
    op.drop_table("nav_named_prices")
