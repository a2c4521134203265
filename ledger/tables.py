"""The tables. Money is micro-USDC, prices ticks, sizes lots, times nanoseconds, all as bigint."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _number(name: str, comment: str = "", *, key: bool = False) -> "Column[int]":
    return Column(
        name, BigInteger, primary_key=key, autoincrement=False, nullable=False, comment=comment or None
    )


def _text(name: str, comment: str = "") -> "Column[str]":
    return Column(name, Text, nullable=False, comment=comment or None)


cursor = Table(
    "cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _number("sequence", "journal sequence up to which every projection below has got"),
    CheckConstraint("id = 1", name="single"),
)
agents = Table(
    "agents",
    metadata,
    _number("account", key=True),
    _text("owner", "base58 Solana key"),
    _text("name"),
    _number("page", "escrow page, -1 before one is bound"),
    _number("slot"),
    _number("stream", "head of the numbered private stream"),
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
    Index("ix_fills_seq", "seq", unique=True),
    Index("ix_fills_taker", "taker", "fill"),
    Index("ix_fills_maker", "maker", "fill"),
)
postings = Table(
    "postings",
    metadata,
    _number("seq", "journal sequence of the event that moved the money", key=True),
    _number("line", key=True),
    _number("debit", "account; 0 is the world outside, 4 reserved withdrawals"),
    _number("credit"),
    _number("amount", "micro-USDC from debit to credit"),
    _text("why"),
    Index("ix_postings_debit", "debit", "seq"),
    Index("ix_postings_credit", "credit", "seq"),
)
balances = Table(
    "balances",
    metadata,
    _number("account", key=True),
    _number("amount", "micro-USDC: credits less debits of all postings"),
)
account_events = Table(
    "account_events",
    metadata,
    _number("account", key=True),
    _number("number", "number in the account's private stream", key=True),
    _number("seq"),
    Column("event", LargeBinary, nullable=False, comment="the event as in the journal"),
)
withdrawals = Table(
    "withdrawals",
    metadata,
    _number("withdrawal", key=True),
    _number("account"),
    _number("amount", "micro-USDC"),
    _text("key"),
    _text("status", "reserved, paid or released"),
    _text("signature"),
)
batches = Table(
    "batches",
    metadata,
    _number("batch", key=True),
    _number("at"),
    _number("after_seq", "journal records after this one"),
    _number("seq", "up to this one are in the batch"),
    Column("root", LargeBinary, nullable=False),
    _number("fills"),
    _number("deltas", "accounts that move"),
    _number("status", "core.batches.BatchStatus"),
    _number("lamports", "fees paid for its transactions"),
    CheckConstraint("status between 1 and 4", name="status"),
)
batch_pages = Table(
    "batch_pages",
    metadata,
    Column("batch", BigInteger, ForeignKey("batches.batch"), primary_key=True),
    _number("page", key=True),
    _number("position", "order in which pages may be sent: net debits first"),
    _number("net", "micro-USDC; negative takes from the page"),
    _number("moves", "slots that move"),
    Column("deltas", LargeBinary, nullable=False, comment="as the program reads them"),
)
submissions = Table(
    "submissions",
    metadata,
    Column("signature", Text, primary_key=True),
    _text("reference", "what it is for: batch/3/open, batch/3/page/0, batch/3/seal, withdrawal/7, ..."),
    Column("raw", LargeBinary, nullable=False, comment="the signed bytes, kept before they are first sent"),
    _number("last_valid_block_height"),
    _text("status", "signed, landed, failed or expired"),
    _number("lamports"),
    Column("number", BigInteger, Identity(always=True), nullable=False, comment="order of signing"),
    Index("ix_submissions_reference", "reference", "number"),
)
reconciliations = Table(
    "reconciliations",
    metadata,
    _number("batch", key=True),
    _number("at", key=True),
    _text("why", "empty when everything agreed, else a stable code"),
    _text("sentence"),
)
