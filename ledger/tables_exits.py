"""Tables of what owners and settlement did to each other on chain, projections of the journal; units as in `ledger.tables`."""

from typing import Final

from sqlalchemy import CheckConstraint, Index, Table

from ledger.columns import metadata, number, text

exit_claims: Final = Table(
    "exit_claims",
    metadata,
    text("key", "claim:, transaction signature and index of the event in it", key=True),
    number("seq"),
    number("at"),
    number("account"),
    number("amount", "micro-USDC"),
    CheckConstraint("amount > 0", name="amount"),
    Index("ix_exit_claims_account", "account", "seq"),
    Index("ix_exit_claims_seq", "seq"),
    comment="what owners claimed from the escrow without the operator",
)
unapplied_deltas: Final = Table(
    "unapplied_deltas",
    metadata,
    number("seq", key=True),
    number("account", key=True),
    number("batch", "whose page did not do all of the account's delta"),
    number("amount", "micro-USDC: above 0 held back from a credit, below 0 not taken"),
    CheckConstraint("amount <> 0", name="amount"),
    comment="what settlement owes, until a later batch brings it",
)
