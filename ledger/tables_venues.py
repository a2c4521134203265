"""Tables of what vaults do at outside venues: the order service's own memory, which no journal can rebuild.

Sizes and prices are in 1e-8 (`core.tickets`), money in micro-USDC, instants in nanoseconds, all as bigint.
"""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, Table
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB

from ledger.columns import counted, metadata, number, text

WAITING: Final = sql_text("status in ('accepted', 'sent', 'open')")
"""Orders that have not ended, as the index has it that finds them."""
venue_orders: Final = Table(
    "venue_orders",
    metadata,
    text("ticket", "vault/client id: whoever sends it again means the same order", key=True),
    counted("order of acceptance"),
    text("vault"),
    text("venue"),
    text("symbol"),
    text("client_id", "the caller's"),
    text("venue_client_id", "under which the venue knows it, empty when it was never to be sent"),
    text("venue_order_id", "the venue's own, empty before it is known"),
    text("placed_by", "whose ticket it was"),
    number("side", "1 buy, -1 sell, 0: refused or given up before that was known"),
    number("size", "0: refused or given up before that was known"),
    text("order_type", "core.tickets.OrderType"),
    number("limit_price", "0 for none"),
    text("time_in_force", "core.tickets.TimeInForce"),
    number("reduce_only", "1 when it may only reduce a position"),
    number("leverage", "whole times, 0 leaves what the venue has"),
    text("status", "accepted, sent, open, filled, cancelled, rejected, refused or not_sent"),
    number("filled", "of its fills that are recorded here"),
    text("code", "why it was refused, else empty"),
    text("words", "of the venue or of the rule"),
    number("at", "when it was accepted or refused"),
    number("changed_at"),
    number("not_after", "from then on it is not sent, 0: nobody said"),
    CheckConstraint("side in (1, -1) or (side = 0 and status in ('refused', 'not_sent'))", name="side"),
    CheckConstraint(
        "filled >= 0 and (size > 0 or (size = 0 and status in ('refused', 'not_sent')))", name="size"
    ),
    CheckConstraint(
        "status in ('accepted', 'sent', 'open', 'filled', 'cancelled', 'rejected', 'refused', 'not_sent')",
        name="status",
    ),
    Index("ix_venue_orders_vault", "vault", "number"),
    Index("ix_venue_orders_venue_client_id", "vault", "venue", "venue_client_id"),
    Index(
        "ix_venue_orders_waiting",
        "vault",
        "venue",
        postgresql_where=WAITING,
    ),
)
venue_fills: Final = Table(
    "venue_fills",
    metadata,
    text("vault", key=True),
    text("venue", key=True),
    text("fill", "the venue's id: both sides of one trade may have the same", key=True),
    counted("order of recording"),
    text("ticket", "of the order that it fills, empty when that is none of ours"),
    text("venue_order_id"),
    text("symbol"),
    number("side", "1 buy, -1 sell"),
    number("size"),
    number("price"),
    number("fee", "paid, negative was received"),
    number("at", "by the venue's clock"),
    CheckConstraint("side in (1, -1)", name="side"),
    CheckConstraint("size > 0 and price > 0", name="positive"),
    Index("ix_venue_fills_vault", "vault", "number"),
    Index("ix_venue_fills_ticket", "ticket"),
    comment="each is written once, with the position and the cash that it moves, in one transaction",
)
venue_positions: Final = Table(
    "venue_positions",
    metadata,
    text("vault", key=True),
    text("venue", key=True),
    text("symbol", key=True),
    number("size_e8", "signed"),
    number("changed_at"),
    comment="closed ones stay, with zeros",
)
vault_cash_moves: Final = Table(
    "vault_cash_moves",
    metadata,
    counted("order of recording", key=True),
    text("vault"),
    text("venue", "where it moved, empty for what belongs to no venue"),
    text(
        "kind",
        "trade: price of what was bought or sold; fee; difference: price of what the venue has and no fill told; "
        "else what moved it there without a fill, as funding",
    ),
    text("reference", "what moved it: of a trade and a fee the venue's id of the fill"),
    number("amount", "came in, negative went out"),
    number("at"),
    Index("ix_vault_cash_moves_reference", "vault", "venue", "kind", "reference", unique=True),
    Index("ix_vault_cash_moves_vault", "vault", "at"),
    comment="a vault's cash is their sum: what it holds at a venue is paid for in full, whatever margin the venue asks",
)
vault_cash: Final = Table(
    "vault_cash",
    metadata,
    text("vault", key=True),
    text("venue", "as in vault_cash_moves", key=True),
    number("amount"),
    comment="the sum of what vault_cash_moves has of it, kept in the transaction that adds to that",
)
venue_cursors: Final = Table(
    "venue_cursors",
    metadata,
    text("vault", key=True),
    text("venue", key=True),
    text("fills", "up to where the venue's fills are recorded"),
    text("funding", "up to where its payments are"),
    number("moved_at"),
    number("seen_at", "when it was last asked after everything and told, 0: not since this was kept"),
    text(
        "account",
        "the venue's name of the account that it is; empty: from before this was kept, until it is next used",
    ),
    Index(
        "ix_venue_cursors_account",
        "venue",
        "account",
        unique=True,
        postgresql_where=sql_text("account <> ''"),
    ),
    comment="moved in the transaction that records what was read",
)
venue_differences: Final = Table(
    "venue_differences",
    metadata,
    counted("order of recording", key=True),
    text("vault"),
    text("venue"),
    text("symbol"),
    number("ours", "size that the fills add up to"),
    number("theirs", "size that the venue has, and the ledger from then on"),
    number("price", "that the difference was booked at"),
    number("at"),
    CheckConstraint("ours <> theirs", name="differs"),
    Index("ix_venue_differences_vault", "vault", "number"),
)
venue_doubts: Final = Table(
    "venue_doubts",
    metadata,
    text("vault", key=True),
    text("venue", key=True),
    text("symbol", "whose position differs; empty: the venue did not tell anything", key=True),
    text("sentence"),
    number("at", "since when"),
    text("kind", "silent, unpriced or empty"),
    CheckConstraint("kind in ('silent', 'unpriced', 'empty')", name="kind"),
    comment="why nobody deals with a vault; gone when it is told or priced",
)
vault_streams: Final = Table(
    "vault_streams",
    metadata,
    text("vault", key=True),
    number("head", "last number of the vault's events"),
)
vault_events: Final = Table(
    "vault_events",
    metadata,
    text("vault", key=True),
    number("number", "in the vault's stream, without gaps from 1", key=True),
    text("kind", "order, fill, position or difference"),
    Column("payload", JSONB, nullable=False, comment="numbers in this ledger's units"),
    number("at"),
)
