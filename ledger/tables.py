"""The tables. Money is micro-USDC, prices are ticks, sizes lots, engine times nanoseconds, all as bigint.

The first part is written by the projector alone and can be rebuilt from the journal; the second part is the settlement's own
memory and cannot, nor can what vaults and venues have (`ledger.rebuild` has the names). Check constraints say what may never be;
there are no foreign keys among projections, because the journal is already in order and every key would be looked up once more
for each row.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    func,
)
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB

from ledger.columns import counted as _counted
from ledger.columns import metadata as metadata
from ledger.columns import number as _number
from ledger.columns import text as _text
from ledger.tables_breakers import market_ends as market_ends
from ledger.tables_breakers import open_interest_jumps as open_interest_jumps
from ledger.tables_breakers import operator_actions as operator_actions
from ledger.tables_exits import accepted_slots as accepted_slots
from ledger.tables_exits import exit_claims as exit_claims
from ledger.tables_exits import unapplied_deltas as unapplied_deltas
from ledger.tables_funding import funding_payments as funding_payments
from ledger.tables_funding import funding_rates as funding_rates
from ledger.tables_liquidation import insurance_history as insurance_history
from ledger.tables_liquidation import liquidation_steps as liquidation_steps
from ledger.tables_liquidation import liquidations as liquidations
from ledger.tables_vaults import vaults as vaults
from ledger.tables_venues import venue_orders as venue_orders

# --- projections of the journal --------------------------------------------------------------------------------------

cursor = Table(
    "cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _number("sequence", "journal sequence up to which every projection has got"),
    _number("at", "engine time of that record: tells this journal from another one"),
    _number("fills", "fills projected so far"),
    CheckConstraint("id = 1", name="single"),
    comment="one row: how far the projections are",
)
markets = Table(
    "markets",
    metadata,
    _number("market", key=True),
    _text("symbol"),
    _text("tick", "USDC per tick, as a decimal string"),
    _text("lot", "underlying per lot, as a decimal string"),
    _number("value_per_tick_lot", "micro-USDC that one lot is worth per tick"),
    _number("status", "core.market.MarketStatus"),
)
agents = Table(
    "agents",
    metadata,
    _number("account", key=True),
    _number("seq"),
    _number("at"),
    _text("owner", "base58 Solana key"),
    _text("name"),
    _number("tier", "0 standard, 1 premium"),
    _number("page", "escrow page, -1 before one is bound, -2 once it was closed and is another's"),
    _number("slot", "slot in it, below 0 without one"),
    _number("parent", "account whose isolated sub-account it is, and whose slot holds what it has; else 0"),
    _number("market", "the only market that a sub-account trades; else 0"),
    Index("ix_agents_owner", "owner"),
    Index("ix_agents_place", "page", "slot"),
)
streams = Table(
    "streams",
    metadata,
    _number("account", key=True),
    _number("head", "last number of the account's private stream"),
)
account_events = Table(
    "account_events",
    metadata,
    _number("account", key=True),
    _number("number", "number in the account's private stream, without gaps from 1", key=True),
    _number("seq"),
    _text("kind", "name of the event in core.events"),
    Column("payload", JSONB, nullable=False, comment="the event's fields by name"),
)
requests = Table(
    "requests",
    metadata,
    _number("request", key=True),
    _number("seq"),
    _number("at"),
    _number("account"),
    _text("key", "the client's id of the request"),
    _number("terms", "limit, lifetime and flags, packed"),
    _number("market"),
    _number("side", "1 buy, -1 sell"),
    _number("size", "lots"),
    _number("filled", "lots"),
    _number("value", "micro-USDC: summed notional of its fills"),
    _text("outcome"),
    CheckConstraint("side in (1, -1)", name="side"),
    CheckConstraint("size > 0 and filled between 0 and size", name="filled"),
    Index("ix_requests_account", "account", "request"),
    Index("ix_requests_unfilled", "at", postgresql_where=sql_text("filled = 0")),
    comment="requests that have ended",
)
fills = Table(
    "fills",
    metadata,
    _number("fill", key=True),
    _number("seq"),
    _number("at"),
    _number("request"),
    _number("quote"),
    _number("market"),
    _number("taker"),
    _number("maker"),
    _number("side", "the taker's: 1 buy, -1 sell"),
    _number("size", "lots"),
    _number("price", "ticks"),
    _number("fee", "micro-USDC, paid by the taker"),
    _number("taker_realized", "micro-USDC before fees"),
    _number("maker_realized", "micro-USDC"),
    _number("taker_cost", "micro-USDC: cost of the taker's position after it"),
    _number("maker_cost", "micro-USDC: cost of the maker's position after it"),
    _number("index_price", "ticks: the index at the fill"),
    CheckConstraint("side in (1, -1)", name="side"),
    CheckConstraint("size > 0 and price > 0 and fee >= 0", name="positive"),
    Index("ix_fills_seq", "seq", unique=True),
    Index("ix_fills_taker", "taker", "fill"),
    Index("ix_fills_maker", "maker", "fill"),
    comment="its batch is the first cut at or after its seq",
)
positions = Table(
    "positions",
    metadata,
    _number("account", key=True),
    _number("market", key=True),
    _number("size", "signed lots"),
    _number("cost", "signed micro-USDC that the position was entered at"),
    comment="closed ones stay, with zeros",
)
postings = Table(
    "postings",
    metadata,
    _number("seq", "journal sequence of the event that moved the money", key=True),
    _number("line", key=True),
    _number("debit", "account; 0 is the world outside, 4 reserved withdrawals"),
    _number("credit"),
    _number("amount", "micro-USDC from debit to credit"),
    _text("why", "core.postings.Why"),
    _number("at"),
    CheckConstraint("debit <> credit and amount <> 0", name="moves"),
    Index("ix_postings_debit", "debit", "seq", "line"),
    Index("ix_postings_credit", "credit", "seq", "line"),
    comment="double entry: every line takes from one account what it gives to another",
)
balances = Table(
    "balances",
    metadata,
    _number("account", key=True),
    _number("amount", "micro-USDC: credits less debits of all postings"),
)
deposits = Table(
    "deposits",
    metadata,
    _text("key", "transaction signature and index of the event in it", key=True),
    _number("seq"),
    _number("at"),
    _number("account"),
    _number("amount", "micro-USDC"),
    CheckConstraint("amount > 0", name="amount"),
    Index("ix_deposits_account", "account", "seq"),
    Index("ix_deposits_seq", "seq"),
)
withdrawals = Table(
    "withdrawals",
    metadata,
    _number("withdrawal", key=True),
    _number("seq", "of the reservation"),
    _number("at", "of the reservation"),
    _number("account"),
    _number("amount", "micro-USDC"),
    _text("key", "the client's id of the withdrawal"),
    _text("status", "reserved, paid or released"),
    _number("finished_at", "0 while reserved"),
    _text("signature", "of the paying transaction, else empty"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("status in ('reserved', 'paid', 'released')", name="status"),
    Index("ix_withdrawals_account", "account", "withdrawal"),
)
index_prices = Table(
    "index_prices",
    metadata,
    _number("market", key=True),
    _number("seq"),
    _number("at"),
    _number("price", "ticks"),
    _number("confidence", "ticks"),
    _number("published", "nanoseconds, by the source's clock"),
    _text("source"),
    comment="the latest index of each market",
)
index_history = Table(
    "index_history",
    metadata,
    _number("market", key=True),
    _number("second", "since the Unix epoch, of the engine's time", key=True),
    _number("price", "ticks: the first one in that second"),
    _number("confidence", "ticks"),
)
cuts = Table(
    "cuts",
    metadata,
    _number("batch", key=True),
    _number("at"),
    _number("after_seq", "journal records after this one ..."),
    _number("seq", "... up to this one are in the batch"),
    _number("fills", "fills in it"),
    _number("fills_through", "fills in it and all before it"),
    Column("marks", JSONB, nullable=False, comment="[[market, price in ticks], ...]"),
    _number("status", "core.batches.BatchStatus"),
    _number("submitted_at", "0 before; so the next two"),
    _number("confirmed_at"),
    _number("final_at"),
    _text(
        "seal",
        "signature of the transaction that sealed it; empty before it is final, or when nothing landed",
    ),
    CheckConstraint("status between 1 and 4", name="status"),
    CheckConstraint("seq > after_seq", name="range"),
    Index("ix_cuts_seq", "seq", unique=True),
    Index("ix_cuts_at", "at"),
    comment="settlement batches as agents see them",
)

# --- the settlement's own memory -------------------------------------------------------------------------------------

batches = Table(
    "batches",
    metadata,
    Column("batch", BigInteger, ForeignKey("cuts.batch"), primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False, comment="Merkle root that the program stores"),
    Column(
        "fill_nodes",
        LargeBinary,
        nullable=False,
        comment="a level of its tree, for proofs; see ledger.batch_roots",
    ),
    Column("account_nodes", LargeBinary, nullable=False, comment="the same above the accounts"),
    Column(
        "accounts",
        LargeBinary,
        nullable=False,
        comment="accounts at the cut, as ledger.batch_roots packs them",
    ),
    Column(
        "settled",
        LargeBinary,
        comment="accounts whose settled amount is not their equity, as ledger.settled packs them; null: not known",
    ),
    _number("deltas", "accounts that move"),
    _number("lamports", "fees paid for its transactions"),
    Column("stored", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("length(root) = 32", name="root"),
)
batch_pages = Table(
    "batch_pages",
    metadata,
    Column("batch", BigInteger, ForeignKey("batches.batch"), primary_key=True, autoincrement=False),
    _number("page", key=True),
    _number("position", "order in which pages may be sent: net debits first"),
    _number("net", "micro-USDC; negative takes from the page"),
    _number("moves", "slots that move"),
    Column("deltas", LargeBinary, nullable=False, comment="as the program reads them"),
    Index("ix_batch_pages_position", "batch", "position", unique=True),
)
submissions = Table(
    "submissions",
    metadata,
    _text("signature", key=True),
    _text("reference", "what it is for: batch/3/open, batch/3/page/0, batch/3/seal, ..."),
    Column("batch", BigInteger, comment="batch of a reference that begins with batch/, else null"),
    Column("raw", LargeBinary, nullable=False, comment="the signed bytes, kept before they are first sent"),
    Column("attempt", Integer, nullable=False, comment="1 for the first of its reference"),
    _number("last_valid_block_height"),
    _text("status", "signed, landed, failed or expired"),
    _number("lamports", "fee paid"),
    _counted("order of signing"),
    Column("created", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("status in ('signed', 'landed', 'failed', 'expired')", name="status"),
    CheckConstraint("lamports >= 0", name="lamports"),
    Index("ix_submissions_reference", "reference", "number"),
    Index("ix_submissions_attempt", "reference", "attempt", unique=True),
    Index("ix_submissions_batch", "batch", "number"),
)
reconciliations = Table(
    "reconciliations",
    metadata,
    _number("batch", key=True),
    _number("at", key=True),
    _text("why", "empty when everything agreed, else a stable code"),
    _text("sentence"),
    Column(
        "differences",
        JSONB,
        nullable=False,
        server_default="[]",
        comment="the accounts about which not all agreed, with what each side said",
    ),
    Index("ix_reconciliations_at", "at"),
)
