"""Tables of the circuit breakers, projections of the journal like the others; units as in `ledger.tables`."""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, Table
from sqlalchemy.dialects.postgresql import JSONB

from ledger.columns import metadata, number, text

operator_actions: Final = Table(
    "operator_actions",
    metadata,
    number("seq", key=True),
    number("at"),
    text("who", "name of the operator's credential, or exchange for a rule's own doing"),
    text("action", "ledger.breakers.Action"),
    number("market", "0: all of them"),
    text("why"),
    Column("details", JSONB, nullable=False, comment="what was set, by name"),
    Index("ix_operator_actions_market", "market", "seq"),
    comment="the audit trail: never changed, only added to",
)
market_ends: Final = Table(
    "market_ends",
    metadata,
    number("market", key=True),
    number("seq"),
    number("at"),
    number("price", "ticks: the index at which every position closed"),
    number("accounts", "that held a position"),
    number("shared", "micro-USDC of debts that were paid"),
    number("fund", "micro-USDC of that from the insurance fund; the rest is from those who gained"),
    number("uncovered", "micro-USDC of debts that nobody could pay"),
    number("forced", "1: without notice, or at an index that was not believed"),
    CheckConstraint("fund between 0 and shared and uncovered >= 0", name="shares"),
    comment="delisted markets",
)
open_interest_jumps: Final = Table(
    "open_interest_jumps",
    metadata,
    number("seq", key=True),
    number("at"),
    number("market"),
    number("lowest", "lots from which it rose"),
    number("open_interest", "lots"),
    CheckConstraint("open_interest > lowest", name="rise"),
)
