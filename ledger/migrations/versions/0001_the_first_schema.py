"""The first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account_events",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "number",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="number in the account's private stream, without gaps from 1",
        ),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="name of the event in core.events"),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the event's fields by name",
        ),
        sa.PrimaryKeyConstraint("account", "number", name=op.f("pk_account_events")),
    )
    op.create_table(
        "agents",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="base58 Solana key"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "tier", sa.BigInteger(), autoincrement=False, nullable=False, comment="0 standard, 1 premium"
        ),
        sa.Column(
            "page",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="escrow page, -1 before one is bound",
        ),
        sa.Column(
            "slot",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="slot in it, -1 before one is bound",
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_agents")),
    )
    op.create_index("ix_agents_owner", "agents", ["owner"], unique=False)
    op.create_table(
        "balances",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "amount",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC: credits less debits of all postings",
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_balances")),
    )
    op.create_table(
        "cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "sequence",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="journal sequence up to which every projection has got",
        ),
        sa.Column(
            "at",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="engine time of that record: tells this journal from another one",
        ),
        sa.Column(
            "fills", sa.BigInteger(), autoincrement=False, nullable=False, comment="fills projected so far"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_cursor_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cursor")),
        comment="one row: how far the projections are",
    )
    op.create_table(
        "cuts",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "after_seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="journal records after this one ...",
        ),
        sa.Column(
            "seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="... up to this one are in the batch",
        ),
        sa.Column("fills", sa.BigInteger(), autoincrement=False, nullable=False, comment="fills in it"),
        sa.Column(
            "fills_through",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="fills in it and all before it",
        ),
        sa.Column(
            "marks",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[[market, price in ticks], ...]",
        ),
        sa.Column(
            "status", sa.BigInteger(), autoincrement=False, nullable=False, comment="core.batches.BatchStatus"
        ),
        sa.Column(
            "submitted_at",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="0 before; so the next two",
        ),
        sa.Column("confirmed_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("final_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.CheckConstraint("seq > after_seq", name=op.f("ck_cuts_range")),
        sa.CheckConstraint("status between 1 and 4", name=op.f("ck_cuts_status")),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_cuts")),
        comment="settlement batches as agents see them",
    )
    op.create_index("ix_cuts_seq", "cuts", ["seq"], unique=True)
    op.create_table(
        "deposits",
        sa.Column(
            "key", sa.Text(), nullable=False, comment="transaction signature and index of the event in it"
        ),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), autoincrement=False, nullable=False, comment="micro-USDC"),
        sa.CheckConstraint("amount > 0", name=op.f("ck_deposits_amount")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_deposits")),
    )
    op.create_index("ix_deposits_account", "deposits", ["account", "seq"], unique=False)
    op.create_table(
        "fills",
        sa.Column("fill", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quote", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taker", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("maker", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "side",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the taker's: 1 buy, -1 sell",
        ),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False, comment="lots"),
        sa.Column("price", sa.BigInteger(), autoincrement=False, nullable=False, comment="ticks"),
        sa.Column(
            "fee",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC, paid by the taker",
        ),
        sa.Column(
            "taker_realized",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC before fees",
        ),
        sa.Column(
            "maker_realized", sa.BigInteger(), autoincrement=False, nullable=False, comment="micro-USDC"
        ),
        sa.Column(
            "taker_cost",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC: cost of the taker's position after it",
        ),
        sa.Column(
            "maker_cost",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC: cost of the maker's position after it",
        ),
        sa.Column(
            "index_price",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="ticks: the index at the fill",
        ),
        sa.CheckConstraint("side in (1, -1)", name=op.f("ck_fills_side")),
        sa.CheckConstraint("size > 0 and price > 0 and fee >= 0", name=op.f("ck_fills_positive")),
        sa.PrimaryKeyConstraint("fill", name=op.f("pk_fills")),
        comment="its batch is the first cut at or after its seq",
    )
    op.create_index("ix_fills_maker", "fills", ["maker", "fill"], unique=False)
    op.create_index("ix_fills_seq", "fills", ["seq"], unique=True)
    op.create_index("ix_fills_taker", "fills", ["taker", "fill"], unique=False)
    op.create_table(
        "index_history",
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "second",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="since the Unix epoch, of the engine's time",
        ),
        sa.Column(
            "price",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="ticks: the first one in that second",
        ),
        sa.Column("confidence", sa.BigInteger(), autoincrement=False, nullable=False, comment="ticks"),
        sa.PrimaryKeyConstraint("market", "second", name=op.f("pk_index_history")),
    )
    op.create_table(
        "index_prices",
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price", sa.BigInteger(), autoincrement=False, nullable=False, comment="ticks"),
        sa.Column("confidence", sa.BigInteger(), autoincrement=False, nullable=False, comment="ticks"),
        sa.Column(
            "published",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="nanoseconds, by the source's clock",
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("market", name=op.f("pk_index_prices")),
        comment="the latest index of each market",
    )
    op.create_table(
        "markets",
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("tick", sa.Text(), nullable=False, comment="USDC per tick, as a decimal string"),
        sa.Column("lot", sa.Text(), nullable=False, comment="underlying per lot, as a decimal string"),
        sa.Column(
            "value_per_tick_lot",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC that one lot is worth per tick",
        ),
        sa.Column(
            "status", sa.BigInteger(), autoincrement=False, nullable=False, comment="core.market.MarketStatus"
        ),
        sa.PrimaryKeyConstraint("market", name=op.f("pk_markets")),
    )
    op.create_table(
        "positions",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False, comment="signed lots"),
        sa.Column(
            "cost",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="signed micro-USDC that the position was entered at",
        ),
        sa.PrimaryKeyConstraint("account", "market", name=op.f("pk_positions")),
        comment="closed ones stay, with zeros",
    )
    op.create_table(
        "postings",
        sa.Column(
            "seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="journal sequence of the event that moved the money",
        ),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "debit",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="account; 0 is the world outside, 4 reserved withdrawals",
        ),
        sa.Column("credit", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "amount",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC from debit to credit",
        ),
        sa.Column("why", sa.Text(), nullable=False, comment="core.postings.Why"),
        sa.CheckConstraint("debit <> credit and amount <> 0", name=op.f("ck_postings_moves")),
        sa.PrimaryKeyConstraint("seq", "line", name=op.f("pk_postings")),
        comment="double entry: every line takes from one account what it gives to another",
    )
    op.create_index("ix_postings_credit", "postings", ["credit", "seq", "line"], unique=False)
    op.create_index("ix_postings_debit", "postings", ["debit", "seq", "line"], unique=False)
    op.create_table(
        "reconciliations",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "why", sa.Text(), nullable=False, comment="empty when everything agreed, else a stable code"
        ),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("batch", "at", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "requests",
        sa.Column("request", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the client's id of the request"),
        sa.Column(
            "terms",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="limit, lifetime and flags, packed",
        ),
        sa.Column("market", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("side", sa.BigInteger(), autoincrement=False, nullable=False, comment="1 buy, -1 sell"),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False, comment="lots"),
        sa.Column("filled", sa.BigInteger(), autoincrement=False, nullable=False, comment="lots"),
        sa.Column(
            "value",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC: summed notional of its fills",
        ),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.CheckConstraint("side in (1, -1)", name=op.f("ck_requests_side")),
        sa.CheckConstraint("size > 0 and filled between 0 and size", name=op.f("ck_requests_filled")),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_requests")),
        comment="requests that have ended",
    )
    op.create_index("ix_requests_account", "requests", ["account", "request"], unique=False)
    op.create_table(
        "streams",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "head",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="last number of the account's private stream",
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_streams")),
    )
    op.create_table(
        "submissions",
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=False,
            comment="what it is for: batch/3/open, batch/3/page/0, batch/3/seal, ...",
        ),
        sa.Column(
            "batch",
            sa.BigInteger(),
            nullable=True,
            comment="batch of a reference that begins with batch/, else null",
        ),
        sa.Column(
            "raw",
            sa.LargeBinary(),
            nullable=False,
            comment="the signed bytes, kept before they are first sent",
        ),
        sa.Column("last_valid_block_height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="signed, landed, failed or expired"),
        sa.Column("lamports", sa.BigInteger(), autoincrement=False, nullable=False, comment="fee paid"),
        sa.Column(
            "number", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="order of signing"
        ),
        sa.Column("created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status in ('signed', 'landed', 'failed', 'expired')", name=op.f("ck_submissions_status")
        ),
        sa.CheckConstraint("lamports >= 0", name=op.f("ck_submissions_lamports")),
        sa.PrimaryKeyConstraint("signature", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_batch", "submissions", ["batch", "number"], unique=False)
    op.create_index("ix_submissions_reference", "submissions", ["reference", "number"], unique=False)
    op.create_table(
        "withdrawals",
        sa.Column("withdrawal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the reservation"),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the reservation"),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), autoincrement=False, nullable=False, comment="micro-USDC"),
        sa.Column("key", sa.Text(), nullable=False, comment="the client's id of the withdrawal"),
        sa.Column("status", sa.Text(), nullable=False, comment="reserved, paid or released"),
        sa.Column(
            "finished_at", sa.BigInteger(), autoincrement=False, nullable=False, comment="0 while reserved"
        ),
        sa.Column("signature", sa.Text(), nullable=False, comment="of the paying transaction, else empty"),
        sa.CheckConstraint("status in ('reserved', 'paid', 'released')", name=op.f("ck_withdrawals_status")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_withdrawals_amount")),
        sa.PrimaryKeyConstraint("withdrawal", name=op.f("pk_withdrawals")),
    )
    op.create_index("ix_withdrawals_account", "withdrawals", ["account", "withdrawal"], unique=False)
    op.create_table(
        "batches",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="Merkle root that the program stores"),
        sa.Column(
            "accounts",
            sa.LargeBinary(),
            nullable=False,
            comment="accounts at the cut, as ledger.batch_roots packs them",
        ),
        sa.Column(
            "deltas", sa.BigInteger(), autoincrement=False, nullable=False, comment="accounts that move"
        ),
        sa.Column(
            "lamports",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="fees paid for its transactions",
        ),
        sa.Column("stored", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(root) = 32", name=op.f("ck_batches_root")),
        sa.ForeignKeyConstraint(["batch"], ["cuts.batch"], name=op.f("fk_batches_batch")),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_batches")),
    )
    op.create_table(
        "batch_pages",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("page", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="order in which pages may be sent: net debits first",
        ),
        sa.Column(
            "net",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="micro-USDC; negative takes from the page",
        ),
        sa.Column("moves", sa.BigInteger(), autoincrement=False, nullable=False, comment="slots that move"),
        sa.Column("deltas", sa.LargeBinary(), nullable=False, comment="as the program reads them"),
        sa.ForeignKeyConstraint(["batch"], ["batches.batch"], name=op.f("fk_batch_pages_batch")),
        sa.PrimaryKeyConstraint("batch", "page", name=op.f("pk_batch_pages")),
    )
    op.create_index("ix_batch_pages_position", "batch_pages", ["batch", "position"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_batch_pages_position", table_name="batch_pages")
    op.drop_table("batch_pages")
    op.drop_table("batches")
    op.drop_index("ix_withdrawals_account", table_name="withdrawals")
    op.drop_table("withdrawals")
    op.drop_index("ix_submissions_reference", table_name="submissions")
    op.drop_index("ix_submissions_batch", table_name="submissions")
    op.drop_table("submissions")
    op.drop_table("streams")
    op.drop_index("ix_requests_account", table_name="requests")
    op.drop_table("requests")
    op.drop_table("reconciliations")
    op.drop_index("ix_postings_debit", table_name="postings")
    op.drop_index("ix_postings_credit", table_name="postings")
    op.drop_table("postings")
    op.drop_table("positions")
    op.drop_table("markets")
    op.drop_table("index_prices")
    op.drop_table("index_history")
    op.drop_index("ix_fills_taker", table_name="fills")
    op.drop_index("ix_fills_seq", table_name="fills")
    op.drop_index("ix_fills_maker", table_name="fills")
    op.drop_table("fills")
    op.drop_index("ix_deposits_account", table_name="deposits")
    op.drop_table("deposits")
    op.drop_index("ix_cuts_seq", table_name="cuts")
    op.drop_table("cuts")
    op.drop_table("cursor")
    op.drop_table("balances")
    op.drop_index("ix_agents_owner", table_name="agents")
    op.drop_table("agents")
    op.drop_table("account_events")
