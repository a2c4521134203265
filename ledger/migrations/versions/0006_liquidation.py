"""Liquidations with their steps, and the insurance fund's history"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "liquidations",
        _number("liquidation"),
        _number("seq", "of its start"),
        _number("at", "of its start"),
        _number("account"),
        _number("equity", "micro-USDC at its start; of the insurance fund without its floor"),
        _number("maintenance", "micro-USDC required at its start"),
        _text("outcome", "recovered, sold, taken_over or deleveraged; empty while it goes on"),
        _number("ended_at", "0 while it goes on"),
        sa.CheckConstraint(
            "outcome in ('', 'recovered', 'sold', 'taken_over', 'deleveraged')"
            " and (outcome = '') = (ended_at = 0)",
            name=op.f("ck_liquidations_outcome"),
        ),
        sa.PrimaryKeyConstraint("liquidation", name=op.f("pk_liquidations")),
    )
    op.create_table(
        "liquidation_steps",
        _number("seq"),
        _number("line", "a takeover has one for each market"),
        _number("liquidation"),
        _number("at"),
        _text("kind", "auction, takeover or deleveraging"),
        _number("market"),
        _number("mark", "ticks"),
        _number("asked", "signed lots to close"),
        _number("price_limit", "ticks: an auction's, else 0"),
        _number("size", "signed lots closed"),
        _number("value", "signed micro-USDC that they brought"),
        _number("bound", "signed micro-USDC: their bankruptcy value"),
        _number("fee", "micro-USDC to the insurance fund"),
        _number("equity", "micro-USDC before it"),
        _number("maintenance", "micro-USDC required before it"),
        _number("unpaid", "signed lots that nobody could pay for"),
        _number("accounts", "accounts that took the lots: makers' fills, or counterparties"),
        sa.CheckConstraint(
            "kind in ('auction', 'takeover', 'deleveraging')", name=op.f("ck_liquidation_steps_kind")
        ),
        sa.CheckConstraint("fee >= 0 and abs(size) <= abs(asked)", name=op.f("ck_liquidation_steps_amounts")),
        sa.PrimaryKeyConstraint("seq", "line", name=op.f("pk_liquidation_steps")),
    )
    op.create_index("ix_liquidation_steps_liquidation", "liquidation_steps", ["liquidation", "seq", "line"])
    op.create_index("ix_liquidation_steps_kind", "liquidation_steps", ["kind", "seq", "line"])
    op.create_table(
        "insurance_history",
        _number("seq"),
        _number("at"),
        _text(
            "why",
            "deposit, fee, takeover, deleveraging, funding, sale, delisting or floor; carried: all before this table",
        ),
        _number("liquidation", "0 when it was none"),
        _number("amount", "micro-USDC that came in; positions taken over are not in it"),
        _number("balance", "micro-USDC after it, without what positions are worth"),
        _number("floor", "micro-USDC that the fund must keep, after it"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_insurance_history")),
        comment="every record that changed the insurance fund",
    )
    # Later balances are counted on from the last one, so what was projected before this table is carried into it.
    op.execute(
        "insert into insurance_history select sequence, at, 'carried', 0, amount, amount, 0"
        " from cursor, balances where account = 2 and amount <> 0"
    )


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def downgrade() -> None:
    op.drop_table("insurance_history")
    op.drop_index("ix_liquidation_steps_kind", table_name="liquidation_steps")
    op.drop_index("ix_liquidation_steps_liquidation", table_name="liquidation_steps")
    op.drop_table("liquidation_steps")
    op.drop_table("liquidations")
