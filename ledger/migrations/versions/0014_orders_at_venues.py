"""Orders of vaults at outside venues, their fills, and the positions and cash that these move"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"


def _number(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def _counted(comment: str) -> "sa.Column[int]":
    return sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment=comment)


def upgrade() -> None:
    _orders()
    _fills()
    _money()
    _events()


def _orders() -> None:
    op.create_table(
        "venue_orders",
        _text("ticket", "vault/client id: whoever sends it again means the same order"),
        _counted("order of acceptance"),
        _text("vault"),
        _text("venue"),
        _text("symbol"),
        _text("client_id", "the caller's"),
        _text("venue_client_id", "under which the venue knows it, empty when it was never to be sent"),
        _text("venue_order_id", "the venue's own, empty before it is known"),
        _text("placed_by", "whose ticket it was"),
        _number("side", "1 buy, -1 sell"),
        _number("size"),
        _text("order_type", "core.tickets.OrderType"),
        _number("limit_price", "0 for none"),
        _text("time_in_force", "core.tickets.TimeInForce"),
        _number("reduce_only", "1 when it may only reduce a position"),
        _number("leverage", "whole times, 0 leaves what the venue has"),
        _text("status", "accepted, sent, open, filled, cancelled, rejected, refused or not_sent"),
        _number("filled", "of its fills that are recorded here"),
        _text("code", "why it was refused, else empty"),
        _text("words", "of the venue or of the rule"),
        _number("at", "when it was accepted or refused"),
        _number("changed_at"),
        sa.CheckConstraint("side in (1, -1)", name=op.f("ck_venue_orders_side")),
        sa.CheckConstraint("size > 0 and filled >= 0", name=op.f("ck_venue_orders_size")),
        sa.CheckConstraint(
            "status in ('accepted', 'sent', 'open', 'filled', 'cancelled', 'rejected', 'refused', 'not_sent')",
            name=op.f("ck_venue_orders_status"),
        ),
        sa.PrimaryKeyConstraint("ticket", name=op.f("pk_venue_orders")),
    )
    op.create_index("ix_venue_orders_vault", "venue_orders", ["vault", "number"])
    op.create_index("ix_venue_orders_venue_client_id", "venue_orders", ["vault", "venue", "venue_client_id"])


def _fills() -> None:
    op.create_table(
        "venue_fills",
        _text("vault"),
        _text("venue"),
        _text("fill", "the venue's id: both sides of one trade may have the same"),
        _counted("order of recording"),
        _text("ticket", "of the order that it fills, empty when that is none of ours"),
        _text("venue_order_id"),
        _text("symbol"),
        _number("side", "1 buy, -1 sell"),
        _number("size"),
        _number("price"),
        _number("fee", "paid, negative was received"),
        _number("at", "by the venue's clock"),
        sa.CheckConstraint("side in (1, -1)", name=op.f("ck_venue_fills_side")),
        sa.CheckConstraint("size > 0 and price > 0", name=op.f("ck_venue_fills_positive")),
        sa.PrimaryKeyConstraint("vault", "venue", "fill", name=op.f("pk_venue_fills")),
        comment="each is written once, with the position and the cash that it moves, in one transaction",
    )
    op.create_index("ix_venue_fills_vault", "venue_fills", ["vault", "number"])
    op.create_index("ix_venue_fills_ticket", "venue_fills", ["ticket"])
    op.create_table(
        "venue_cursors",
        _text("vault"),
        _text("venue"),
        _text("fills", "up to where the venue's fills are recorded"),
        _text("funding", "up to where its payments are"),
        _number("moved_at"),
        sa.PrimaryKeyConstraint("vault", "venue", name=op.f("pk_venue_cursors")),
        comment="moved in the transaction that records what was read",
    )


def _money() -> None:
    op.create_table(
        "venue_positions",
        _text("vault"),
        _text("venue"),
        _text("symbol"),
        _number("size_e8", "signed"),
        _number("changed_at"),
        sa.PrimaryKeyConstraint("vault", "venue", "symbol", name=op.f("pk_venue_positions")),
        comment="closed ones stay, with zeros",
    )
    op.create_table(
        "vault_cash_moves",
        _counted("order of recording"),
        _text("vault"),
        _text("venue", "where it moved, empty for what belongs to no venue"),
        _text(
            "kind",
            "trade: price of what was bought or sold; fee; funding; difference: price of what the venue has and no fill told",
        ),
        _text("reference", "what moved it: of a trade and a fee the venue's id of the fill"),
        _number("amount", "came in, negative went out"),
        _number("at"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_vault_cash_moves")),
        comment="a vault's cash is their sum: what it holds at a venue is paid for in full, whatever margin the venue asks",
    )
    op.create_index(
        "ix_vault_cash_moves_reference",
        "vault_cash_moves",
        ["vault", "venue", "kind", "reference"],
        unique=True,
    )
    op.create_index("ix_vault_cash_moves_vault", "vault_cash_moves", ["vault", "at"])
    op.create_table(
        "venue_differences",
        _counted("order of recording"),
        _text("vault"),
        _text("venue"),
        _text("symbol"),
        _number("ours", "size that the fills add up to"),
        _number("theirs", "size that the venue has, and the ledger from then on"),
        _number("price", "that the difference was booked at, 0 when nobody knew one"),
        _number("at"),
        sa.CheckConstraint("ours <> theirs", name=op.f("ck_venue_differences_differs")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_venue_differences")),
    )
    op.create_index("ix_venue_differences_vault", "venue_differences", ["vault", "number"])


def _events() -> None:
    op.create_table(
        "vault_streams",
        _text("vault"),
        _number("head", "last number of the vault's events"),
        sa.PrimaryKeyConstraint("vault", name=op.f("pk_vault_streams")),
    )
    op.create_table(
        "vault_events",
        _text("vault"),
        _number("number", "in the vault's stream, without gaps from 1"),
        _text("kind", "order, fill, position or difference"),
        sa.Column("payload", postgresql.JSONB(), nullable=False, comment="numbers in this ledger's units"),
        _number("at"),
        sa.PrimaryKeyConstraint("vault", "number", name=op.f("pk_vault_events")),
    )


def downgrade() -> None:
    for table in (
        "vault_events",
        "vault_streams",
        "venue_differences",
        "vault_cash_moves",
        "venue_positions",
        "venue_cursors",
        "venue_fills",
        "venue_orders",
    ):
        op.drop_table(table)
